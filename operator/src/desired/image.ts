/** The parts of an image reference: `host:5000/path/name:tag@sha256:…`. */
interface ImageParts {
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** What a LiveCluster says of its image. */
interface ImageChoice {
  readonly repository?: string | undefined;
  readonly tag?: string | undefined;
  readonly digest?: string | undefined;
}

/** The image to run: what is chosen, and the operator's own for what is left open. A digest wins over a tag. */
export function imageOf(choice: ImageChoice, operatorImage: string): string {
  const own = parseImage(operatorImage);
  const repository = choice.repository ?? own.repository;
  if (choice.digest) return `${repository}@${choice.digest}`;
  if (choice.tag) return `${repository}:${choice.tag}`;
  // A mirror keeps tags and digests, so both hold for another repository too.
  return `${repository}${own.tag ? `:${own.tag}` : ''}${own.digest ? `@${own.digest}` : ''}`;
}

function parseImage(image: string): ImageParts {
  const [named = '', digest] = image.split('@', 2);
  // A colon before the last slash is a registry's port.
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  return {
    repository: hasTag ? named.slice(0, colon) : named,
    ...(hasTag ? { tag: named.slice(colon + 1) } : {}),
    ...(digest ? { digest } : {}),
  };
}

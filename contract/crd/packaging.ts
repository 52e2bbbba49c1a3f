import { z } from 'zod';
import { boundedDuration, withRules } from './schema.ts';

/*
 * The parts of a Vhost that say how its streams are packaged: HLS and DASH.
 */

const NAMES = ['app', 'stream'];
/** Besides, in the names of files that there are many of. */
const OF_FILES = ['seq', 'track', 'timestamp', 'duration', '2006', '01', '02', '15', '04', '05', '999'];

/**
 * A path under the HTTP port's root with variables in brackets. `[app]` and `[stream]` must be there, so that no two
 * streams share a file.
 */
const pathTemplate = (name: string, suffix: string, example: string, alsoOneOf: readonly string[] = []) => {
  const ending = suffix.replace('.', '\\.');
  const variables = ['vhost', ...NAMES, ...(alsoOneOf.length > 0 ? OF_FILES : [])];
  // Between two of these nobody could tell where one ends, and two streams might share a file.
  const apart = variables.filter((variable) => ['vhost', 'track', ...NAMES].includes(variable));
  const together = apart.flatMap((variable) => [`[${variable}][`, `][${variable}]`]);
  const needed = ['[app]', '[stream]'];
  const rules = [
    {
      rule: needed.map((variable) => `self.contains('${variable}')`).join(' && '),
      message: `${name} must hold [app] and [stream], such as ${example}`,
      check: (path: string) => needed.every((variable) => path.includes(variable)),
    },
    {
      rule: "!self.startsWith('/') && !self.contains('..') && !self.contains('//')",
      message: `${name} is a path below the root: write it without a leading /, // and .., such as ${example}`,
      check: (path: string) => !path.startsWith('/') && !path.includes('..') && !path.includes('//'),
    },
    {
      rule: together.map((pair) => `!self.contains('${pair}')`).join(' && '),
      message: `${name} has to keep its variables apart, or two streams could share a file: put / or - between them, such as ${example}`,
      check: (path: string) => !together.some((pair) => path.includes(pair)),
    },
  ];
  if (alsoOneOf.length > 0) {
    rules.push({
      rule: alsoOneOf.map((variable) => `self.contains('${variable}')`).join(' || '),
      message: `${name} must hold ${alsoOneOf.join(' or ')}, or its files would overwrite each other: write for example ${example}`,
      check: (path: string) => alsoOneOf.some((variable) => path.includes(variable)),
    });
  }
  return withRules(
    z
      .string()
      .min(1)
      .max(512)
      .regex(new RegExp(`^([A-Za-z0-9/_.-]|\\[(${variables.join('|')})\\])+${ending}$`), {
        error: `must be a path that ends in ${suffix}, of letters, digits, / . _ - and the variables [${variables.join('], [')}], such as ${example}`,
      }),
    ...rules,
  ).default(example);
};

export const HlsSpec = withRules(
  z.strictObject({
    enabled: z.boolean().default(true).describe('Serve HLS.'),
    container: z
      .enum(['ts', 'fmp4'])
      .optional()
      .describe('What segments are: MPEG-TS, or fragmented MP4 (CMAF). Left out: ts, or fmp4 with lowLatency.'),
    fragment: boundedDuration('500ms', '60s')
      .default('2s')
      .describe('Least length of a segment, which ends at the next key frame; hls_fragment of SRS.'),
    window: boundedDuration('1s', '1h')
      .default('10s')
      .describe('Media that a playlist lists, at least three segments; hls_window of SRS.'),
    cleanup: z
      .boolean()
      .default(true)
      .describe('Delete segments that left the playlist, a while after; hls_cleanup of SRS. Only disks can keep them.'),
    dispose: boundedDuration(undefined, '24h')
      .default('30s')
      .describe('How long the playlist and its segments stay after the stream has ended; hls_dispose of SRS.'),
    ctx: z
      .boolean()
      .default(true)
      .describe(
        'Give each viewer a signed context in the address of its playlist, by which it is counted and can be ended; hls_ctx of SRS. False: every viewer asks for the same addresses, and nobody is counted.',
      ),
    m3u8File: pathTemplate('m3u8File', '.m3u8', '[app]/[stream].m3u8').describe(
      "Path template of the playlist; hls_m3u8_file of SRS. Variables: [vhost] (the Vhost's name; left out for __defaultVhost__), [app], [stream].",
    ),
    tsFile: pathTemplate('tsFile', '.ts', '[app]/[stream]-[seq].ts', ['[seq]', '[timestamp]']).describe(
      "Path template of MPEG-TS segments; hls_ts_file of SRS. Variables: [vhost] (the Vhost's name; left out for __defaultVhost__), [app], [stream], [seq], [timestamp] (milliseconds), [duration] (milliseconds), and the time of its beginning in UTC as [2006], [01], [02], [15], [04], [05], [999].",
    ),
    fmp4File: withRules(
      pathTemplate('fmp4File', '.m4s', '[app]/[stream]-[track]-[seq].m4s', ['[seq]', '[timestamp]']).unwrap(),
      {
        rule: "self.contains('[track]')",
        message: 'fmp4File must hold [track], which is video or audio, such as [app]/[stream]-[track]-[seq].m4s',
        check: (path) => path.includes('[track]'),
      },
    )
      .default('[app]/[stream]-[track]-[seq].m4s')
      .describe(
        'Path template of fragmented MP4 segments, as tsFile, with [track] besides: video or audio. Their initialization sections and parts have names made from it.',
      ),
    lowLatency: z
      .strictObject({
        enabled: z.boolean().default(false).describe('Serve Low-Latency HLS: parts, blocking reload, deltas.'),
        part: boundedDuration('100ms', '2s')
          .default('500ms')
          .describe('Length of a part. Players stay about three parts behind.'),
      })
      .prefault({})
      .describe('Low-Latency HLS.'),
    keys: z
      .strictObject({
        enabled: z
          .boolean()
          .default(false)
          .describe(
            'Encrypt the segments of HLS with AES-128; hls_keys of SRS. Those of DASH are not encrypted: leave dash off where that matters.',
          ),
        fragmentsPerKey: z
          .int()
          .min(1)
          .max(10_000)
          .default(5)
          .describe('Segments until the next key; hls_fragments_per_key of SRS.'),
        keyFile: pathTemplate('keyFile', '.key', '[app]/[stream]-[seq].key', ['[seq]']).describe(
          'Path template of keys; hls_key_file of SRS. Variables: those of tsFile, of the first segment that has the key.',
        ),
        keyURL: z
          .string()
          .max(1024)
          .regex(/^[!-~]*$/, { error: 'must be an address of visible ASCII characters' })
          .default('')
          .describe(
            'Address of keys as playlists tell it, a template with the variables of keyFile where it holds [; otherwise the key file follows it. Empty: beside the playlist. hls_key_url of SRS.',
          ),
      })
      .prefault({})
      .describe('AES-128.'),
  }),
  {
    rule: "!self.lowLatency.enabled || !has(self.container) || self.container == 'fmp4'",
    message: 'lowLatency needs fragmented MP4: set container to fmp4 or leave it out',
    check: (hls) => !hls.lowLatency.enabled || hls.container === undefined || hls.container === 'fmp4',
  },
  {
    rule: "!self.keys.enabled || (!self.lowLatency.enabled && (!has(self.container) || self.container == 'ts'))",
    message: 'keys encrypt MPEG-TS segments: set container to ts and lowLatency.enabled to false, or turn keys off',
    check: (hls) =>
      !hls.keys.enabled || (!hls.lowLatency.enabled && (hls.container === undefined || hls.container === 'ts')),
  },
)
  .prefault({})
  .describe('HTTP Live Streaming.');

export const DashSpec = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('Serve MPEG-DASH, from fragmented MP4 segments of the length that hls.fragment says.'),
    mpdFile: pathTemplate('mpdFile', '.mpd', '[app]/[stream].mpd').describe(
      "Path template of the manifest; dash_mpd_file of SRS. Variables: [vhost] (the Vhost's name; left out for __defaultVhost__), [app], [stream].",
    ),
  })
  .prefault({})
  .describe('MPEG-DASH.');

/** Value of a metric without or with the given labels in Prometheus' text, summed over the series that match; 0 where there is none. */
export function metricValue(text: string, name: string, labels: Record<string, string> = {}): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match || match[1] !== name) continue;
    const found = match[2] ?? '';
    if (Object.entries(labels).every(([key, value]) => found.includes(`${key}="${value}"`))) sum += Number(match[3]);
  }
  return sum;
}

/** Reads /metrics of a media node by its pod's address. */
export async function scrape(podIp: string, adminPort = 8090): Promise<string> {
  const response = await fetch(`http://${podIp}:${adminPort}/metrics`, { signal: AbortSignal.timeout(5_000) });
  if (!response.ok) throw new Error(`/metrics of ${podIp}: ${response.status}`);
  return response.text();
}

/** What push found. */
export interface HandshakeStep {
  /** Bytes to send to the peer now; empty where there are none. */
  readonly output: Buffer;
  /** True once the peer's last part has come: `rest` then belongs to the chunk stream. */
  readonly done: boolean;
  /** Input after the handshake's end; empty until done. A view of the input, valid as long as that is. */
  readonly rest: Buffer;
}

/** `complex`: the digests of Adobe's servers and players, which Flash-era peers ask for before they play H.264. */
export type HandshakeKind = 'simple' | 'complex';

/** The server's side of the handshake (RTMP 1.0 §5.2): answers in the kind the client began. */
export class ServerHandshake {
  /** What the client began; undefined until C1 has come. */
  get kind(): HandshakeKind | undefined {
    return undefined;
  }
  /** Takes the next bytes. Throws FormatError for a version other than 3. Not to be called after done. */
  push(input: Buffer): HandshakeStep {
    void input;
    throw new Error('to come');
  }
}

/** The client's side. Send `start()` first, then push what comes. */
export class ClientHandshake {
  constructor(kind: HandshakeKind = 'simple') {
    void kind;
  }
  /** C0 and C1. */
  start(): Buffer {
    throw new Error('to come');
  }
  /** Takes the next bytes; C2 comes as output with done. Throws FormatError. */
  push(input: Buffer): HandshakeStep {
    void input;
    throw new Error('to come');
  }
}

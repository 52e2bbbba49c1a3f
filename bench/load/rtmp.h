/*
 * What the benchmark's three programs share: clock, growing buffer, AMF0 and RTMP (Adobe's RTMP 1.0, AMF 0) as far as a
 * publisher, a viewer and the smallest server need them, and the mark that each media message carries.
 *
 * The mark: MARK_UUID, the message's number within its track (8 hex digits), the sender's CLOCK_MONOTONIC in nanoseconds
 * at the write (16 hex digits). Video carries it in an SEI user_data_unregistered (H.264 Annex D.1.6) ahead of the
 * slice, audio at the start of the raw frame. Hex, so that no byte needs emulation prevention.
 */
#ifndef LIVECLUSTER_BENCH_RTMP_H
#define LIVECLUSTER_BENCH_RTMP_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MARK_UUID "livecluster-mark"
#define MARK_UUID_BYTES 16
#define MARK_BYTES (MARK_UUID_BYTES + 8 + 16)
/* Where the mark stands in a video tag body: FLV 5, NAL length 4, NAL header, SEI type, SEI size. */
#define VIDEO_MARK_OFFSET 12
/* In an audio tag body: FLV 2. */
#define AUDIO_MARK_OFFSET 2

#define VIDEO_FPS 25
#define AUDIO_RATE 48000

enum {
  MSG_SET_CHUNK_SIZE = 1,
  MSG_ABORT = 2,
  MSG_ACK = 3,
  MSG_USER_CONTROL = 4,
  MSG_WINDOW_ACK_SIZE = 5,
  MSG_AUDIO = 8,
  MSG_VIDEO = 9,
  MSG_DATA = 18,
  MSG_COMMAND = 20,
};
enum { USER_PING_REQUEST = 6, USER_PING_RESPONSE = 7 };
enum { HANDSHAKE_BYTES = 1536, DEFAULT_CHUNK = 128 };

static inline void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, "\n");
  exit(1);
}

static inline int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* CPU time of this process, user and system. */
static inline double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static inline void raise_open_files(void) {
  struct rlimit l;
  getrlimit(RLIMIT_NOFILE, &l);
  l.rlim_cur = l.rlim_max;
  setrlimit(RLIMIT_NOFILE, &l);
}

static inline void *must_alloc(void *old, size_t bytes) {
  void *p = realloc(old, bytes);
  if (p == NULL) die("out of memory");
  return p;
}

/* Video frame n is due at n * 40 ms, audio frame n at n * 1024 / 48000 s, rounded down. */
static inline int64_t media_ms(bool video, int64_t n) {
  return video ? n * 1000 / VIDEO_FPS : n * 1024 * 1000 / AUDIO_RATE;
}

/* ---- buffers ---- */

struct buf {
  uint8_t *data;
  size_t len, cap;
};

static inline uint8_t *buf_room(struct buf *b, size_t n) {
  if (b->len + n > b->cap) {
    b->cap = (b->len + n) * 2 + 256;
    b->data = must_alloc(b->data, b->cap);
  }
  b->len += n;
  return b->data + b->len - n;
}
static inline void buf_put(struct buf *b, const void *p, size_t n) {
  if (n > 0) memcpy(buf_room(b, n), p, n);
}
static inline void buf_u8(struct buf *b, unsigned v) { *buf_room(b, 1) = (uint8_t)v; }

static inline uint32_t get24(const uint8_t *p) { return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]; }
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | get24(p + 1); }
static inline void put24(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 16);
  p[1] = (uint8_t)(v >> 8);
  p[2] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 24);
  put24(p + 1, v & 0xffffff);
}

/* ---- the mark ---- */

static inline void hex_put(uint8_t *p, uint64_t v, int digits) {
  for (int i = digits - 1; i >= 0; i--, v >>= 4) p[i] = (uint8_t)"0123456789abcdef"[v & 15];
}
static inline uint64_t hex_get(const uint8_t *p, int digits) {
  uint64_t v = 0;
  for (int i = 0; i < digits; i++) v = v << 4 | (uint64_t)(p[i] <= '9' ? p[i] - '0' : p[i] - 'a' + 10);
  return v;
}
static inline void mark_put(uint8_t *p, uint32_t number, int64_t sent_ns) {
  memcpy(p, MARK_UUID, MARK_UUID_BYTES);
  hex_put(p + MARK_UUID_BYTES, number, 8);
  hex_put(p + MARK_UUID_BYTES + 8, (uint64_t)sent_ns, 16);
}
/* Reads the mark of a tag body; false where there is none (sequence headers). */
static inline bool mark_get(bool video, const uint8_t *body, size_t len, uint32_t *number, int64_t *sent_ns) {
  size_t at = video ? VIDEO_MARK_OFFSET : AUDIO_MARK_OFFSET;
  if (len < at + MARK_BYTES || memcmp(body + at, MARK_UUID, MARK_UUID_BYTES) != 0) return false;
  *number = (uint32_t)hex_get(body + at + MARK_UUID_BYTES, 8);
  *sent_ns = (int64_t)hex_get(body + at + MARK_UUID_BYTES + 8, 16);
  return true;
}

/* ---- AMF 0 ---- */

static inline void amf_key(struct buf *b, const char *s) {
  size_t n = strlen(s);
  uint8_t *p = buf_room(b, 2 + n);
  p[0] = (uint8_t)(n >> 8);
  p[1] = (uint8_t)n;
  memcpy(p + 2, s, n);
}
static inline void amf_string(struct buf *b, const char *s) {
  buf_u8(b, 2);
  amf_key(b, s);
}
static inline void amf_number(struct buf *b, double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  uint8_t *p = buf_room(b, 9);
  p[0] = 0;
  put32(p + 1, (uint32_t)(bits >> 32));
  put32(p + 5, (uint32_t)bits);
}
static inline void amf_null(struct buf *b) { buf_u8(b, 5); }
static inline void amf_begin(struct buf *b) { buf_u8(b, 3); }
static inline void amf_end(struct buf *b) {
  static const uint8_t end[] = {0, 0, 9};
  buf_put(b, end, 3);
}
static inline void amf_pair(struct buf *b, const char *key, const char *value) {
  amf_key(b, key);
  amf_string(b, value);
}

/* Name and transaction of a command; name holds at least 64 bytes. Returns the offset behind them, 0 where it is none. */
static inline size_t command_head(const uint8_t *p, size_t len, char *name, double *transaction) {
  if (len < 12 || p[0] != 2) return 0;
  size_t n = (size_t)p[1] << 8 | p[2];
  if (n > 63 || len < 3 + n + 9 || p[3 + n] != 0) return 0;
  memcpy(name, p + 3, n);
  name[n] = 0;
  uint64_t bits = (uint64_t)get32(p + 4 + n) << 32 | get32(p + 8 + n);
  memcpy(transaction, &bits, 8);
  return 3 + n + 9;
}

/* ---- chunks ---- */

/* Appends a message: a type 0 header, then type 3 (chunk streams 2 to 63). */
static inline void put_message(struct buf *b, uint32_t chunk_size, unsigned csid, unsigned type, uint32_t stream,
                               uint32_t ms, const uint8_t *payload, size_t len) {
  bool extended = ms >= 0xffffff;
  uint8_t h[16];
  h[0] = (uint8_t)csid;
  put24(h + 1, extended ? 0xffffff : ms);
  put24(h + 4, (uint32_t)len);
  h[7] = (uint8_t)type;
  h[8] = (uint8_t)stream;
  h[9] = (uint8_t)(stream >> 8);
  h[10] = (uint8_t)(stream >> 16);
  h[11] = (uint8_t)(stream >> 24);
  if (extended) put32(h + 12, ms);
  buf_put(b, h, extended ? 16 : 12);
  for (size_t at = 0; at < len;) {
    if (at > 0) {
      buf_u8(b, 0xc0 | csid);
      if (extended) buf_put(b, h + 12, 4);
    }
    size_t n = len - at < chunk_size ? len - at : chunk_size;
    buf_put(b, payload + at, n);
    at += n;
  }
}
static inline void put_u32_message(struct buf *b, unsigned type, uint32_t value) {
  uint8_t p[4];
  put32(p, value);
  put_message(b, DEFAULT_CHUNK, 2, type, 0, 0, p, 4);
}
static inline void put_pong(struct buf *b, const uint8_t *ping) {
  uint8_t p[6] = {0, USER_PING_RESPONSE};
  memcpy(p + 2, ping + 2, 4);
  put_message(b, DEFAULT_CHUNK, 2, MSG_USER_CONTROL, 0, 0, p, 6);
}

struct message {
  unsigned type;
  uint32_t stream, ms;
  /* The whole payload's length; `head` holds its first `kept` bytes. */
  uint32_t len, kept;
  const uint8_t *head;
};

struct chunk_stream {
  unsigned csid, type;
  uint32_t stream, ms, field, len, filled, cap;
  bool extended, open;
  uint8_t *head;
};

/* RTMP chunks to messages. Only the first `keep` bytes of a payload are kept. */
struct reader {
  uint32_t chunk_size, keep, left;
  struct chunk_stream *streams;
  struct chunk_stream *current;
  int count;
  unsigned carried;
  uint8_t carry[18];
};

/* The caller's; returning false ends the reading. */
typedef bool (*on_message)(void *context, const struct message *m);

static inline void reader_init(struct reader *r, uint32_t keep) {
  memset(r, 0, sizeof *r);
  r->chunk_size = DEFAULT_CHUNK;
  r->keep = keep;
}
static inline void reader_free(struct reader *r) {
  for (int i = 0; i < r->count; i++) free(r->streams[i].head);
  free(r->streams);
  r->streams = NULL;
  r->count = 0;
}

static inline bool reader_deliver(struct reader *r, struct chunk_stream *c, on_message on, void *context) {
  uint32_t kept = c->len < r->keep ? c->len : r->keep;
  struct message m = {c->type, c->stream, c->ms, c->len, kept, c->head};
  c->open = false;
  if (m.type == MSG_SET_CHUNK_SIZE && kept >= 4) {
    uint32_t size = get32(c->head);
    if (size == 0 || size > 0x7fffffff) return false;
    r->chunk_size = size;
  }
  return on(context, &m);
}

/* Bytes of the header at p, 0 where more are needed, -1 where it means nothing. */
static inline int reader_header(struct reader *r, const uint8_t *p, size_t n, on_message on, void *context) {
  static const unsigned fields[] = {11, 7, 3, 0};
  unsigned format = p[0] >> 6, csid = p[0] & 63, at = csid == 0 ? 2 : csid == 1 ? 3 : 1;
  if (at + fields[format] > n) return 0;
  if (csid == 0) csid = 64 + p[1];
  else if (csid == 1) csid = 64 + p[1] + p[2] * 256u;
  struct chunk_stream *c = NULL;
  for (int i = 0; i < r->count; i++)
    if (r->streams[i].csid == csid) c = &r->streams[i];
  if (c == NULL) {
    if (format > 1 || r->count == 64) return -1;
    r->streams = must_alloc(r->streams, sizeof *c * (size_t)(r->count + 1));
    c = &r->streams[r->count++];
    memset(c, 0, sizeof *c);
    c->csid = csid;
  }
  if (format == 3) {
    if (c->extended) {
      if (at + 4 > n) return 0;
      at += 4;
    }
    if (!c->open) c->ms += c->field;
  } else {
    if (c->open) return -1;
    uint32_t field = get24(p + at);
    bool extended = field == 0xffffff;
    unsigned end = at + fields[format];
    if (extended) {
      if (end + 4 > n) return 0;
      field = get32(p + end);
    }
    if (format < 2) {
      c->len = get24(p + at + 3);
      c->type = p[at + 6];
    }
    if (format == 0)
      c->stream = (uint32_t)p[at + 7] | (uint32_t)p[at + 8] << 8 | (uint32_t)p[at + 9] << 16 | (uint32_t)p[at + 10] << 24;
    c->ms = format == 0 ? field : c->ms + field;
    c->field = field;
    c->extended = extended;
    at = end + (extended ? 4 : 0);
  }
  if (!c->open) {
    c->open = true;
    c->filled = 0;
    uint32_t kept = c->len < r->keep ? c->len : r->keep;
    if (kept > c->cap) c->head = must_alloc(c->head, c->cap = kept);
  }
  uint32_t rest = c->len - c->filled;
  r->left = rest < r->chunk_size ? rest : r->chunk_size;
  r->current = c;
  if (r->left == 0) {
    r->current = NULL;
    if (!reader_deliver(r, c, on, context)) return -1;
  }
  return (int)at;
}

/* Takes bytes from the socket. False where they mean nothing, or the callback said so. */
static inline bool reader_feed(struct reader *r, const uint8_t *p, size_t n, on_message on, void *context) {
  while (n > 0) {
    struct chunk_stream *c = r->current;
    if (c != NULL) {
      uint32_t count = r->left < n ? r->left : (uint32_t)n;
      if (c->filled < r->keep) {
        uint32_t kept = r->keep - c->filled < count ? r->keep - c->filled : count;
        memcpy(c->head + c->filled, p, kept);
      }
      c->filled += count;
      r->left -= count;
      p += count;
      n -= count;
      if (r->left > 0) return true;
      r->current = NULL;
      if (c->filled == c->len && !reader_deliver(r, c, on, context)) return false;
      continue;
    }
    if (r->carried == 0 && n >= 18) {
      int used = reader_header(r, p, n, on, context);
      if (used <= 0) return false;
      p += used;
      n -= (size_t)used;
      continue;
    }
    /* Byte by byte, so that no payload gets into the carry. */
    r->carry[r->carried++] = *p++;
    n--;
    int used = reader_header(r, r->carry, r->carried, on, context);
    if (used < 0) return false;
    if (used > 0) r->carried = 0;
  }
  return true;
}

#endif

/*
 * Thousands of viewers in one process, RTMP or HTTP-FLV, that read everything and check every media message: its number
 * follows the one before, its time goes on as the publisher's did. Latency is from the publisher's write to this
 * program's read, by the mark in the message (rtmp.h).
 *
 *   load-client --port N --viewers N [--protocol rtmp|flv] [--tls] [--host A] [--app live] [--stream name]
 *               [--streams N] [--path /live/name.flv] [--never-read N] [--wait-only] [--setup-s 60] [--slack-ms 1000]
 *
 * Says `ready` when every viewer has got video (with --wait-only: when every play is accepted). Input: `begin` starts
 * the counting, `end` stops it and prints one line of JSON; the input's end ends the program. --never-read adds viewers that ask
 * to play and then read nothing. A viewer is full when between begin and end it lost and repeated nothing, no time stepped,
 * and it got the frames of the whole span but slack-ms.
 */
#define _GNU_SOURCE
#include "rtmp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

/* Viewers that are being set up at once: a server's listen queue is short. */
enum { MOST_SETUPS = 64, INPUT_BYTES = 512 * 1024 };
/* Latency in steps of 20 us up to 4 s. */
enum { LATENCY_STEP_NS = 20000, LATENCY_STEPS = 200000 };

enum phase { IDLE, CONNECTING, HANDSHAKE, COMMANDS, HTTP_HEAD, FLV_HEAD, PLAYING, DONE };

struct track {
  int64_t last_number, last_ms;
};
struct viewer {
  int fd;
  enum phase phase;
  bool never_reads, has_asked, accepted, has_video, chunked;
  const char *fault;
  uint32_t lost, repeated, steps, frames[2];
  uint64_t bytes, received, acked;
  uint32_t ack_window;
  struct track tracks[2];
  int64_t last_video_ns, worst_gap_ns;
  struct reader reader;
  /* HTTP: the answer's head, then the tag being read. */
  char text[2048];
  size_t text_len;
  uint64_t chunk_left;
  uint8_t tag[128];
  uint32_t tag_have, tag_len;
#ifdef WITH_TLS
  SSL *ssl;
#endif
};

static const char *host = "127.0.0.1", *app = "live", *name = "stream", *path;
/* Viewers are spread over so many streams, name-0 and on; 0: all play name. */
static int streams;
static int port, reading = 1, never, total, setup_s = 60, slack_ms = 1000;
static bool flv, tls, wait_only, counting;
static struct viewer *viewers;
static struct sockaddr_in address;
static int epoll, opened, asked, settled;
static int64_t begin_ns, read_ns;
static double begin_cpu;
static uint32_t latency[LATENCY_STEPS + 1];
static uint64_t latencies;
static int64_t most_latency;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

/* The setup is over: another viewer may begin its own. */
static void ask_done(struct viewer *v) {
  if (v->has_asked) return;
  v->has_asked = true;
  asked++;
}

static void fail(struct viewer *v, const char *why) {
  if (v->phase == DONE) return;
  ask_done(v);
  if (!v->accepted) settled++;
  v->phase = DONE;
  if (v->fault == NULL) v->fault = why;
  close(v->fd);
  v->fd = -1;
}

/* Control messages are small: a socket that does not take one whole is broken. */
static void say(struct viewer *v, const void *p, size_t n) {
#ifdef WITH_TLS
  if (v->ssl != NULL) {
    if (SSL_write(v->ssl, p, (int)n) != (int)n) fail(v, "could not write");
    return;
  }
#endif
  if (send(v->fd, p, n, MSG_NOSIGNAL) != (ssize_t)n) fail(v, "could not write");
}
static void say_command(struct viewer *v, uint32_t stream, const struct buf *b) {
  struct buf out = {0};
  put_message(&out, DEFAULT_CHUNK, 3, MSG_COMMAND, stream, 0, b->data, b->len);
  say(v, out.data, out.len);
  free(out.data);
}

static void settle(struct viewer *v) {
  if (v->accepted) return;
  v->accepted = true;
  settled++;
}

/* ---- media ---- */

static void take_media(struct viewer *v, bool video, int64_t ms, const uint8_t *body, size_t len) {
  uint32_t number;
  int64_t sent_ns;
  if (!mark_get(video, body, len, &number, &sent_ns)) return;
  struct track *t = &v->tracks[video];
  if (t->last_number >= 0) {
    int64_t ahead = (int64_t)number - t->last_number;
    if (ahead <= 0) v->repeated++;
    else v->lost += (uint32_t)(ahead - 1);
    int64_t step = (ms - t->last_ms) - (media_ms(video, number) - media_ms(video, t->last_number));
    if (step < -2 || step > 2) v->steps++;
  }
  t->last_number = number;
  t->last_ms = ms;
  v->frames[video]++;
  if (!video) return;
  if (!v->has_video) {
    v->has_video = true;
    ask_done(v);
    if (!wait_only) settle(v);
  }
  if (counting) {
    int64_t gap = read_ns - v->last_video_ns, late = read_ns - sent_ns;
    if (gap > v->worst_gap_ns) v->worst_gap_ns = gap;
    if (late > most_latency) most_latency = late;
    int64_t step = late < 0 ? 0 : late / LATENCY_STEP_NS;
    latency[step < LATENCY_STEPS ? step : LATENCY_STEPS]++;
    latencies++;
  }
  v->last_video_ns = read_ns;
}

/* ---- RTMP ---- */

static void say_connect(struct viewer *v) {
  struct buf b = {0};
  char url[256];
  snprintf(url, sizeof url, "%s://%s:%d/%s", tls ? "rtmps" : "rtmp", host, port, app);
  amf_string(&b, "connect");
  amf_number(&b, 1);
  amf_begin(&b);
  amf_pair(&b, "app", app);
  amf_pair(&b, "flashVer", "LNX 9,0,124,2");
  amf_pair(&b, "tcUrl", url);
  amf_end(&b);
  say_command(v, 0, &b);
  free(b.data);
}

static const char *name_of(const struct viewer *v, char *own, size_t size) {
  if (streams == 0) return name;
  snprintf(own, size, "%s-%d", name, (int)(v - viewers) % streams);
  return own;
}

static void take_command(struct viewer *v, const struct message *m) {
  char command[64];
  double transaction = 0;
  size_t at = command_head(m->head, m->kept, command, &transaction);
  struct buf b = {0};
  if (strcmp(command, "_result") == 0 && transaction == 1) {
    amf_string(&b, "createStream");
    amf_number(&b, 2);
    amf_null(&b);
    say_command(v, 0, &b);
  } else if (strcmp(command, "_result") == 0 && transaction == 2 && m->kept >= at + 10) {
    uint64_t bits = (uint64_t)get32(m->head + at + 2) << 32 | get32(m->head + at + 6);
    double stream;
    memcpy(&stream, &bits, 8);
    amf_string(&b, "play");
    amf_number(&b, 3);
    amf_null(&b);
    char own_name[256];
    amf_string(&b, name_of(v, own_name, sizeof own_name));
    amf_number(&b, -2000);
    say_command(v, (uint32_t)stream, &b);
    v->phase = PLAYING;
    if (v->never_reads) {
      ask_done(v);
      epoll_ctl(epoll, EPOLL_CTL_DEL, v->fd, NULL);
      settle(v);
    }
  } else if (strcmp(command, "onStatus") == 0) {
    ask_done(v);
    if (wait_only && memmem(m->head + at, m->kept - at, "NetStream.Play.Start", 20) != NULL) settle(v);
    if (memmem(m->head + at, m->kept - at, "NetStream.Play.Failed", 21) != NULL) v->fault = "play refused";
  } else if (strcmp(command, "_error") == 0) {
    v->fault = "connect refused";
  }
  free(b.data);
}

static bool take_message(void *context, const struct message *m) {
  struct viewer *v = context;
  switch (m->type) {
  case MSG_AUDIO:
  case MSG_VIDEO:
    take_media(v, m->type == MSG_VIDEO, m->ms, m->head, m->kept);
    return true;
  case MSG_WINDOW_ACK_SIZE:
    if (m->kept >= 4) v->ack_window = get32(m->head);
    return true;
  case MSG_USER_CONTROL:
    if (m->kept >= 6 && get32(m->head) >> 16 == USER_PING_REQUEST) {
      struct buf b = {0};
      put_pong(&b, m->head);
      say(v, b.data, b.len);
      free(b.data);
    }
    return true;
  case MSG_COMMAND:
    take_command(v, m);
    return v->fault == NULL;
  case 22:
    v->fault = "sent an aggregate message, which this program does not count";
    return false;
  default:
    return true;
  }
}

static void take_rtmp(struct viewer *v, const uint8_t *p, size_t n) {
  if (v->phase == HANDSHAKE) {
    /* S0, S1 and S2; S1 goes back as C2. */
    for (; n > 0 && v->text_len < 1 + 2 * HANDSHAKE_BYTES; n--, p++, v->text_len++)
      if (v->text_len >= 1 && v->text_len < 1 + HANDSHAKE_BYTES) v->text[v->text_len - 1] = (char)*p;
    if (v->text_len < 1 + 2 * HANDSHAKE_BYTES) return;
    say(v, v->text, HANDSHAKE_BYTES);
    if (v->phase == DONE) return;
    v->phase = COMMANDS;
    say_connect(v);
  }
  if (v->phase == DONE || n == 0) return;
  if (!reader_feed(&v->reader, p, n, take_message, v)) fail(v, "sent what is no RTMP");
  if (v->phase == DONE || v->ack_window == 0 || v->received - v->acked < v->ack_window) return;
  v->acked = v->received;
  struct buf b = {0};
  put_u32_message(&b, MSG_ACK, (uint32_t)v->received);
  say(v, b.data, b.len);
  free(b.data);
}

/* ---- HTTP-FLV ---- */

static void take_flv(struct viewer *v, const uint8_t *p, size_t n) {
  while (n > 0) {
    /* tag_len: the whole of what is read now, a header of 11 bytes or a tag with its 4 bytes behind. */
    if (v->tag_len == 0) v->tag_len = v->phase == FLV_HEAD ? 9 + 4 : 11;
    uint32_t want = v->tag_len - v->tag_have;
    if (want > n) want = (uint32_t)n;
    if (v->tag_have < sizeof v->tag) {
      uint32_t kept = (uint32_t)sizeof v->tag - v->tag_have < want ? (uint32_t)sizeof v->tag - v->tag_have : want;
      memcpy(v->tag + v->tag_have, p, kept);
    }
    v->tag_have += want;
    p += want;
    n -= want;
    if (v->tag_have < v->tag_len) return;
    if (v->phase == FLV_HEAD) {
      if (memcmp(v->tag, "FLV\1", 4) != 0) return fail(v, "sent what is no FLV");
      v->phase = PLAYING;
    } else if (v->tag_len == 11) {
      v->tag_len = 11 + get24(v->tag + 1) + 4;
      continue;
    } else {
      uint32_t kept = v->tag_len < sizeof v->tag ? v->tag_len : (uint32_t)sizeof v->tag;
      int64_t ms = (int64_t)(get24(v->tag + 4) | (uint32_t)v->tag[7] << 24);
      if (v->tag[0] == MSG_VIDEO || v->tag[0] == MSG_AUDIO)
        take_media(v, v->tag[0] == MSG_VIDEO, ms, v->tag + 11, kept - 11);
      else if (v->tag[0] != MSG_DATA) return fail(v, "sent what is no FLV");
    }
    v->tag_have = v->tag_len = 0;
  }
}

/* chunked transfer coding, RFC 9112 7.1; text holds the line being read. */
static void take_chunked(struct viewer *v, const uint8_t *p, size_t n) {
  while (n > 0 && v->phase != DONE) {
    if (v->chunk_left > 2) {
      size_t count = v->chunk_left - 2 < n ? v->chunk_left - 2 : n;
      take_flv(v, p, count);
      v->chunk_left -= count;
      p += count;
      n -= count;
    } else if (v->chunk_left > 0) {
      v->chunk_left--;
      p++;
      n--;
    } else {
      char c = (char)*p++;
      n--;
      if (c != '\n') {
        if (v->text_len < 32) v->text[v->text_len++] = c;
        continue;
      }
      v->text[v->text_len] = 0;
      v->text_len = 0;
      v->chunk_left = strtoull(v->text, NULL, 16);
      if (v->chunk_left == 0) return fail(v, "ended the answer");
      v->chunk_left += 2;
    }
  }
}

static void take_http(struct viewer *v, const uint8_t *p, size_t n) {
  while (n > 0 && v->phase == HTTP_HEAD) {
    if (v->text_len + 1 >= sizeof v->text) return fail(v, "sent a head too long");
    v->text[v->text_len++] = (char)*p++;
    n--;
    if (v->text_len < 4 || memcmp(v->text + v->text_len - 4, "\r\n\r\n", 4) != 0) continue;
    v->text[v->text_len] = 0;
    if (strstr(v->text, " 200 ") == NULL) return fail(v, "answered other than 200");
    v->chunked = strcasestr(v->text, "transfer-encoding: chunked") != NULL;
    v->text_len = 0;
    v->phase = FLV_HEAD;
    ask_done(v);
    if (wait_only) settle(v);
    if (v->never_reads) {
      epoll_ctl(epoll, EPOLL_CTL_DEL, v->fd, NULL);
      settle(v);
      return;
    }
  }
  if (v->chunked) take_chunked(v, p, n);
  else take_flv(v, p, n);
}

/* ---- sockets ---- */

static void open_viewer(struct viewer *v) {
  v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (v->fd < 0) die("load-client: socket: %s", strerror(errno));
  int one = 1;
  setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  v->phase = CONNECTING;
  v->tracks[0].last_number = v->tracks[1].last_number = -1;
  reader_init(&v->reader, 320);
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = v};
  epoll_ctl(epoll, EPOLL_CTL_ADD, v->fd, &e);
  if (connect(v->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
    fail(v, "could not connect");
}

static void greet(struct viewer *v) {
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = v};
  epoll_ctl(epoll, EPOLL_CTL_MOD, v->fd, &e);
  if (flv) {
    char own_name[256], own_path[512], request[1024];
    if (path == NULL) snprintf(own_path, sizeof own_path, "/%s/%s.flv", app, name_of(v, own_name, sizeof own_name));
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: livecluster-bench\r\n\r\n",
                     path == NULL ? own_path : path, host, port);
    v->phase = HTTP_HEAD;
    say(v, request, (size_t)n);
  } else {
    static uint8_t c[1 + HANDSHAKE_BYTES] = {3};
    v->phase = HANDSHAKE;
    say(v, c, sizeof c);
  }
}

static void on_connected(struct viewer *v) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return fail(v, "could not connect");
#ifdef WITH_TLS
  if (tls) {
    if (v->ssl == NULL) {
      v->ssl = SSL_new(tls_context);
      SSL_set_fd(v->ssl, v->fd);
    }
    int done = SSL_connect(v->ssl);
    if (done != 1) {
      int why = SSL_get_error(v->ssl, done);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return fail(v, "failed at the TLS handshake");
      struct epoll_event e = {.events = why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT, .data.ptr = v};
      epoll_ctl(epoll, EPOLL_CTL_MOD, v->fd, &e);
      return;
    }
  }
#endif
  greet(v);
}

static ssize_t read_some(struct viewer *v, uint8_t *input) {
#ifdef WITH_TLS
  if (v->ssl != NULL) {
    int n = SSL_read(v->ssl, input, INPUT_BYTES);
    if (n > 0) return n;
    int why = SSL_get_error(v->ssl, n);
    errno = EAGAIN;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
  }
#endif
  return recv(v->fd, input, INPUT_BYTES, 0);
}

static void on_readable(struct viewer *v) {
  static uint8_t input[INPUT_BYTES];
  do {
    ssize_t n = read_some(v, input);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return fail(v, "was ended by the server");
    read_ns = now_ns();
    v->received += (uint64_t)n;
    if (counting) v->bytes += (uint64_t)n;
    if (flv) take_http(v, input, (size_t)n);
    else take_rtmp(v, input, (size_t)n);
    if (v->phase == DONE) return;
#ifdef WITH_TLS
    /* What OpenSSL has taken from the socket already wakes nobody. */
    if (v->ssl != NULL && SSL_pending(v->ssl) == 0) return;
#endif
  } while (tls);
}

/* ---- the span that counts ---- */

static void begin(void) {
  begin_ns = now_ns();
  begin_cpu = cpu_seconds();
  counting = true;
  memset(latency, 0, sizeof latency);
  latencies = 0;
  most_latency = 0;
  for (int i = 0; i < total; i++) {
    struct viewer *v = &viewers[i];
    v->lost = v->repeated = v->steps = v->frames[0] = v->frames[1] = 0;
    v->bytes = 0;
    v->worst_gap_ns = 0;
    if (v->last_video_ns == 0) v->last_video_ns = begin_ns;
  }
}

static double percentile(double share) {
  uint64_t rank = (uint64_t)((double)latencies * share), seen = 0;
  for (int i = 0; i <= LATENCY_STEPS; i++)
    if ((seen += latency[i]) > rank) return (double)i * LATENCY_STEP_NS / 1e6;
  return 0;
}

static void end(void) {
  int64_t now = now_ns();
  double seconds = (double)(now - begin_ns) / 1e9;
  counting = false;
  int64_t least[2];
  double full_span = seconds - slack_ms / 1000.0;
  least[1] = (int64_t)(full_span * VIDEO_FPS);
  least[0] = (int64_t)(full_span * AUDIO_RATE / 1024);
  uint64_t bytes = 0, frames = 0, lost = 0, repeated = 0, steps = 0;
  int full = 0, alive_never = 0;
  int64_t worst_gap = 0;
  const char *fault = NULL;
  for (int i = 0; i < total; i++) {
    struct viewer *v = &viewers[i];
    if (v->never_reads) {
      char byte;
      ssize_t n = v->fd < 0 ? 0 : recv(v->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      alive_never += n > 0 || (n < 0 && errno == EAGAIN);
      continue;
    }
    bytes += v->bytes;
    frames += v->frames[1];
    lost += v->lost;
    repeated += v->repeated;
    steps += v->steps;
    int64_t tail = now - v->last_video_ns;
    if (tail > v->worst_gap_ns) v->worst_gap_ns = tail;
    if (v->worst_gap_ns > worst_gap) worst_gap = v->worst_gap_ns;
    if (v->fault != NULL) fault = v->fault;
    else if (v->phase != PLAYING) fault = "never got to play";
    else if (v->lost > 0) fault = "lost frames";
    else if (v->repeated > 0) fault = "got frames twice or out of order";
    else if (v->steps > 0) fault = "got a step in its timestamps";
    else if (v->frames[1] < least[1] || v->frames[0] < least[0]) fault = "fell behind real time";
    else full++;
  }
  printf("{\"viewers\":%d,\"full\":%d,\"seconds\":%.3f,\"videoFrames\":%llu,\"bytes\":%llu,\"kbpsEach\":%.1f,\"lost\":%llu,"
         "\"repeated\":%llu,\"timeSteps\":%llu,\"latencyMs\":{\"p50\":%.2f,\"p95\":%.2f,\"p99\":%.2f,\"max\":%.2f},"
         "\"worstGapMs\":%.1f,\"neverReadAlive\":%d,\"cpuShare\":%.3f,\"fault\":",
         reading, full, seconds, (unsigned long long)frames, (unsigned long long)bytes,
         (double)bytes * 8 / 1000 / seconds / (reading > 0 ? reading : 1), (unsigned long long)lost,
         (unsigned long long)repeated, (unsigned long long)steps, percentile(0.5), percentile(0.95), percentile(0.99),
         (double)most_latency / 1e6, (double)worst_gap / 1e6, alive_never, (cpu_seconds() - begin_cpu) / seconds);
  if (fault == NULL) printf("null}\n");
  else printf("\"%s\"}\n", fault);
  fflush(stdout);
}

/* False at the input's end. */
static bool take_input(void) {
  static char line[64];
  static size_t len;
  char c;
  ssize_t n;
  while ((n = read(0, &c, 1)) > 0) {
    if (c != '\n') {
      if (len + 1 < sizeof line) line[len++] = c;
      continue;
    }
    line[len] = 0;
    len = 0;
    if (strcmp(line, "begin") == 0) begin();
    else if (strcmp(line, "end") == 0) end();
  }
  return n < 0 && errno == EAGAIN;
}

static void give_up(void) {
  for (int i = 0; i < total; i++) {
    struct viewer *v = &viewers[i];
    if (v->fault != NULL || !v->accepted)
      die("load-client: %d of %d viewers are ready after %d s; viewer %d %s", settled, total, setup_s, i,
          v->fault != NULL ? v->fault : "is not");
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--tls") == 0) {
      tls = true;
      continue;
    }
    if (strcmp(argv[i], "--wait-only") == 0) {
      wait_only = true;
      continue;
    }
    const char *v = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--port") == 0) port = atoi(v);
    else if (strcmp(argv[i], "--host") == 0) host = v;
    else if (strcmp(argv[i], "--app") == 0) app = v;
    else if (strcmp(argv[i], "--stream") == 0) name = v;
    else if (strcmp(argv[i], "--streams") == 0) streams = atoi(v);
    else if (strcmp(argv[i], "--path") == 0) path = v;
    else if (strcmp(argv[i], "--protocol") == 0) flv = strcmp(v, "flv") == 0;
    else if (strcmp(argv[i], "--viewers") == 0) reading = atoi(v);
    else if (strcmp(argv[i], "--never-read") == 0) never = atoi(v);
    else if (strcmp(argv[i], "--setup-s") == 0) setup_s = atoi(v);
    else if (strcmp(argv[i], "--slack-ms") == 0) slack_ms = atoi(v);
    else die("load-client: unknown option %s", argv[i]);
    i++;
  }
  total = reading + never;
  if (port == 0 || total < 1) die("load-client: wrong options");
#ifdef WITH_TLS
  if (tls) {
    tls_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_AUTO_RETRY);
  }
#else
  if (tls) die("load-client: built without OpenSSL's headers (libssl-dev)");
#endif
  raise_open_files();
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  viewers = must_alloc(NULL, sizeof *viewers * (size_t)total);
  memset(viewers, 0, sizeof *viewers * (size_t)total);
  for (int i = 0; i < never; i++) viewers[i].never_reads = true;
  epoll = epoll_create1(0);
  fcntl(0, F_SETFL, O_NONBLOCK);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &input);

  bool ready = false;
  int64_t most_ns = now_ns() + (int64_t)setup_s * 1000000000;
  static struct epoll_event events[512];
  for (;;) {
    while (opened < total && opened - asked < MOST_SETUPS) open_viewer(&viewers[opened++]);
    int n = epoll_wait(epoll, events, 512, 100);
    for (int i = 0; i < n; i++) {
      struct viewer *v = events[i].data.ptr;
      if (v == NULL) {
        if (!take_input()) return 0;
      } else if (v->phase == CONNECTING) {
        on_connected(v);
      } else if (v->phase != DONE) {
        on_readable(v);
      }
    }
    if (!ready && settled == total) {
      for (int i = 0; i < total; i++)
        if (viewers[i].fault != NULL) give_up();
      ready = true;
      printf("ready\n");
      fflush(stdout);
    }
    if (!ready && now_ns() > most_ns) give_up();
  }
}

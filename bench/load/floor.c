/*
 * The kernel's floor: takes one stream by RTMP and sends it to every viewer, RTMP or HTTP-FLV, with one merged send() a
 * viewer and flush, and does no other work for a viewer. Viewers share the bytes; they begin at a key frame.
 *
 *   floor --port N --flush window|frame|video [--window-ms 350] [--group 0]
 *
 * window: at the end of each window; with --group, viewers are in groups of that size whose windows end spread over the
 * window. frame: when the messages of one read of the publisher's socket are taken. video: the same, but audio waits for
 * the next video. One port: who begins with G speaks HTTP. Ends at the end of its input.
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

enum { RTMP_CHUNK = 60000, MOST_GROUPS = 64, KEEP_BYTES = 64 << 20, MOST_UNSENT = 16 << 20 };

enum phase { GREETING, HANDSHAKE, COMMANDS, HTTP_HEAD, WAITING, IN_STEP };
struct peer {
  int fd;
  enum phase phase;
  struct reader reader;
  struct buf input, unsent;
  size_t unsent_at;
  uint32_t handshake_left;
  /* A viewer's place in its group. */
  int index;
  struct group *group;
};
struct group {
  struct peer **peers;
  int count, cap;
  uint64_t position;
  int64_t due_ns;
};
/* One format: the bytes since a while ago; positions count from the start of the stream. */
struct format {
  uint8_t *bytes;
  uint64_t begin, end, key;
  bool has_key;
  struct buf headers[2];
  struct group groups[MOST_GROUPS];
  int group_count, viewers;
};

static struct format formats[2]; /* RTMP, FLV */
static int epoll, group_size;
static int64_t window_ns = 350000000;
static enum { FLUSH_WINDOW, FLUSH_FRAME, FLUSH_VIDEO } flush_mode;
static bool flush_due;
static struct peer *publisher;

static void leave(struct peer *p) {
  struct group *g = p->group;
  if (g == NULL) return;
  g->peers[p->index] = g->peers[--g->count];
  g->peers[p->index]->index = p->index;
}
static void end_peer(struct peer *p) {
  leave(p);
  if (p == publisher) publisher = NULL;
  close(p->fd);
  reader_free(&p->reader);
  free(p->input.data);
  free(p->unsent.data);
  free(p);
}

/* ---- sending ---- */

static void watch(struct peer *p, bool for_output) {
  struct epoll_event e = {.events = for_output ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = p};
  epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &e);
}
/* The one send; what the kernel does not take waits until it does. False where the peer is lost or hopeless. */
static bool give(struct peer *p, const uint8_t *bytes, size_t n) {
  ssize_t sent = 0;
  if (p->unsent.len == 0) {
    sent = send(p->fd, bytes, n, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) return false;
      sent = 0;
    }
    if ((size_t)sent == n) return true;
    watch(p, true);
  }
  if (p->unsent.len - p->unsent_at > MOST_UNSENT) return false;
  buf_put(&p->unsent, bytes + sent, n - (size_t)sent);
  return true;
}
static bool give_rest(struct peer *p) {
  while (p->unsent_at < p->unsent.len) {
    ssize_t n = send(p->fd, p->unsent.data + p->unsent_at, p->unsent.len - p->unsent_at, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    p->unsent_at += (size_t)n;
  }
  p->unsent.len = p->unsent_at = 0;
  watch(p, false);
  return true;
}

static void flush_group(struct format *f, struct group *g) {
  uint64_t from = g->position;
  g->position = f->end;
  if (from == f->end) return;
  for (int i = g->count - 1; i >= 0; i--) {
    struct peer *p = g->peers[i];
    uint64_t start = from;
    if (p->phase == WAITING) {
      if (!f->has_key || f->key < from) continue;
      start = f->key;
      p->phase = IN_STEP;
      if (!give(p, f->headers[0].data, f->headers[0].len) || !give(p, f->headers[1].data, f->headers[1].len)) {
        end_peer(p);
        continue;
      }
    }
    if (!give(p, f->bytes + (start - f->begin), f->end - start)) end_peer(p);
  }
}
static void flush_all(void) {
  for (int i = 0; i < 2; i++)
    for (int g = 0; g < formats[i].group_count; g++) flush_group(&formats[i], &formats[i].groups[g]);
}
/* Flushes what is due and returns the milliseconds until the next, -1 where none is. */
static int flush_windows(void) {
  int64_t now = now_ns(), next = INT64_MAX;
  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < formats[i].group_count; j++) {
      struct group *g = &formats[i].groups[j];
      if (g->due_ns <= now) {
        flush_group(&formats[i], g);
        while (g->due_ns <= now) g->due_ns += window_ns;
      }
      if (g->due_ns < next) next = g->due_ns;
    }
  }
  return next == INT64_MAX ? -1 : (int)((next - now_ns() + 999999) / 1000000);
}

static void enter(struct peer *p, int format) {
  struct format *f = &formats[format];
  struct group *g = NULL;
  for (int i = 0; i < f->group_count && g == NULL; i++)
    if (group_size == 0 || f->groups[i].count < group_size || i == MOST_GROUPS - 1) g = &f->groups[i];
  if (g == NULL) {
    g = &f->groups[f->group_count++];
    g->position = f->end;
    /* Each new group's window ends in the middle of the widest gap between those of the others. */
    double at = 0, part = 0.5;
    for (int n = f->group_count - 1; n > 0; n >>= 1, part /= 2)
      if (n & 1) at += part;
    int64_t now = now_ns();
    g->due_ns = now - now % window_ns + (int64_t)(at * (double)window_ns);
    while (g->due_ns <= now) g->due_ns += window_ns;
  }
  if (g->count == g->cap) g->peers = must_alloc(g->peers, sizeof p * (size_t)(g->cap = g->cap * 2 + 64));
  p->index = g->count;
  g->peers[g->count++] = p;
  p->group = g;
  f->viewers++;
  p->phase = WAITING;
}

/* ---- media ---- */

static void put_tag(struct buf *b, const struct message *m) {
  uint8_t h[11] = {(uint8_t)m->type};
  put24(h + 1, m->len);
  put24(h + 4, m->ms & 0xffffff);
  h[7] = (uint8_t)(m->ms >> 24);
  buf_put(b, h, 11);
  buf_put(b, m->head, m->len);
  put32(buf_room(b, 4), m->len + 11);
}

static void take_media(const struct message *m) {
  bool video = m->type == MSG_VIDEO;
  if (m->len < 2) return;
  bool config = m->head[1] == 0, key = video && m->head[0] >> 4 == 1;
  static struct buf b;
  for (int i = 0; i < 2; i++) {
    struct format *f = &formats[i];
    if (f->viewers == 0 && !config) continue;
    b.len = 0;
    if (i == 0) put_message(&b, RTMP_CHUNK, video ? 6 : 4, m->type, 1, m->ms, m->head, m->len);
    else put_tag(&b, m);
    if (config) {
      f->headers[video].len = 0;
      buf_put(&f->headers[video], b.data, b.len);
      continue;
    }
    if (f->bytes == NULL) f->bytes = must_alloc(NULL, KEEP_BYTES);
    if (f->end - f->begin + b.len > KEEP_BYTES) {
      uint64_t oldest = f->end;
      for (int g = 0; g < f->group_count; g++)
        if (f->groups[g].position < oldest) oldest = f->groups[g].position;
      memmove(f->bytes, f->bytes + (oldest - f->begin), f->end - oldest);
      f->begin = oldest;
      if (f->end - f->begin + b.len > KEEP_BYTES) die("floor: a window's bytes do not fit");
    }
    if (key) {
      f->key = f->end;
      f->has_key = true;
    }
    memcpy(f->bytes + (f->end - f->begin), b.data, b.len);
    f->end += b.len;
  }
  if (!config && (flush_mode == FLUSH_FRAME || (flush_mode == FLUSH_VIDEO && video))) flush_due = true;
}

/* ---- sessions ---- */

static bool answer(struct peer *p, uint32_t stream, struct buf *b) {
  struct buf out = {0};
  put_message(&out, RTMP_CHUNK, 3, MSG_COMMAND, stream, 0, b->data, b->len);
  bool ok = give(p, out.data, out.len);
  free(out.data);
  b->len = 0;
  return ok;
}
static bool status(struct peer *p, const char *code) {
  struct buf b = {0};
  amf_string(&b, "onStatus");
  amf_number(&b, 0);
  amf_null(&b);
  amf_begin(&b);
  amf_pair(&b, "level", "status");
  amf_pair(&b, "code", code);
  amf_end(&b);
  bool ok = answer(p, 1, &b);
  free(b.data);
  return ok;
}

static bool take_message(void *context, const struct message *m) {
  struct peer *p = context;
  if ((m->type == MSG_AUDIO || m->type == MSG_VIDEO) && p == publisher) take_media(m);
  if (m->type != MSG_COMMAND) return true;
  char command[64];
  double transaction;
  if (command_head(m->head, m->kept, command, &transaction) == 0) return false;
  struct buf b = {0};
  bool ok = true;
  if (strcmp(command, "connect") == 0) {
    struct buf out = {0};
    put_u32_message(&out, MSG_SET_CHUNK_SIZE, RTMP_CHUNK);
    ok = give(p, out.data, out.len);
    free(out.data);
  }
  if (strcmp(command, "connect") == 0 || strcmp(command, "createStream") == 0) {
    amf_string(&b, "_result");
    amf_number(&b, transaction);
    amf_null(&b);
    amf_number(&b, 1);
    ok = ok && answer(p, 0, &b);
  } else if (strcmp(command, "publish") == 0) {
    publisher = p;
    ok = status(p, "NetStream.Publish.Start");
  } else if (strcmp(command, "play") == 0) {
    ok = status(p, "NetStream.Play.Start");
    enter(p, 0);
  }
  free(b.data);
  return ok;
}

static bool take_input(struct peer *p, const uint8_t *in, size_t n) {
  if (p->phase == GREETING) {
    p->phase = in[0] == 'G' ? HTTP_HEAD : HANDSHAKE;
    p->handshake_left = 1 + 2 * HANDSHAKE_BYTES;
    reader_init(&p->reader, 1 << 24);
  }
  if (p->phase == HTTP_HEAD) {
    buf_put(&p->input, in, n);
    if (p->input.len > 8192) return false;
    if (memmem(p->input.data, p->input.len, "\r\n\r\n", 4) == NULL) return true;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\nFLV\1\5\0\0\0\11\0\0\0";
    if (!give(p, (const uint8_t *)head, sizeof head)) return false;
    enter(p, 1);
    return true;
  }
  if (p->phase == HANDSHAKE) {
    /* C0 and C1, then C2. */
    size_t left = p->handshake_left - HANDSHAKE_BYTES, used = n;
    if (p->handshake_left > HANDSHAKE_BYTES) {
      if (used > left) used = left;
      buf_put(&p->input, in, used);
      p->handshake_left -= (uint32_t)used;
      if (p->handshake_left == HANDSHAKE_BYTES) {
        static uint8_t out[1 + 2 * HANDSHAKE_BYTES];
        out[0] = 3;
        memcpy(out + 1 + HANDSHAKE_BYTES, p->input.data + 1, HANDSHAKE_BYTES);
        if (!give(p, out, sizeof out)) return false;
      }
      in += used;
      n -= used;
    }
    if (n == 0) return true;
    used = n < p->handshake_left ? n : p->handshake_left;
    p->handshake_left -= (uint32_t)used;
    in += used;
    n -= used;
    if (p->handshake_left > 0) return true;
    p->phase = COMMANDS;
  }
  return n == 0 || reader_feed(&p->reader, in, n, take_message, p);
}

int main(int argc, char **argv) {
  int port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *v = argv[i + 1];
    if (strcmp(argv[i], "--port") == 0) port = atoi(v);
    else if (strcmp(argv[i], "--window-ms") == 0) window_ns = (int64_t)atoi(v) * 1000000;
    else if (strcmp(argv[i], "--group") == 0) group_size = atoi(v);
    else if (strcmp(argv[i], "--flush") == 0)
      flush_mode = strcmp(v, "frame") == 0 ? FLUSH_FRAME : strcmp(v, "video") == 0 ? FLUSH_VIDEO : FLUSH_WINDOW;
    else die("floor: unknown option %s", argv[i]);
  }
  if (port == 0 || window_ns <= 0) die("floor: wrong options");
  raise_open_files();
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 4096) != 0)
    die("floor: port %d: %s", port, strerror(errno));
  epoll = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
  e.data.ptr = NULL;
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &e);

  static struct epoll_event events[256];
  static uint8_t in[65536];
  int wait_ms = -1;
  for (;;) {
    int n = epoll_wait(epoll, events, 256, wait_ms);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr == NULL) {
        if (read(0, in, sizeof in) <= 0) return 0;
      } else if (events[i].data.ptr == &listener) {
        int fd;
        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          struct peer *p = must_alloc(NULL, sizeof *p);
          memset(p, 0, sizeof *p);
          p->fd = fd;
          e.data.ptr = p;
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
        }
      } else {
        struct peer *p = events[i].data.ptr;
        bool ok = !(events[i].events & EPOLLOUT) || give_rest(p);
        if (ok && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
          ssize_t got = recv(p->fd, in, sizeof in, 0);
          ok = got > 0 ? take_input(p, in, (size_t)got) : got < 0 && errno == EAGAIN;
        }
        if (!ok) end_peer(p);
      }
    }
    if (flush_due) {
      flush_due = false;
      flush_all();
    }
    if (flush_mode == FLUSH_WINDOW) wait_ms = flush_windows();
  }
}

/*
 * Viewers of HLS, each with one connection that stays open: it reads the multivariant playlist, then a media playlist, then
 * its segments, and checks that none is missed. Bodies of segments are thrown away in the kernel, so that this program is no
 * bottleneck.
 *
 *   hls-client --port N --viewers N [--path /live/stream.m3u8] [--again] [--setup-s 60]
 *
 * A viewer asks for each new segment once, and for the playlist again as RFC 8216 6.3.4 says. With --again it asks for the
 * listed segments in turn without a pause, and for the playlist each second.
 *
 * Says `ready` when every viewer has got a segment. Input: `begin` starts the counting, `end` stops it and prints one line of
 * JSON; the input's end ends the program. A viewer is full when every answer was whole and 200, and no segment was missed.
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

enum phase { CONNECTING, ASKED, BODY, WAITING, DONE };
enum what { PLAYLIST, SEGMENT };
enum { MOST_SETUPS = 64, MOST_LISTED = 64, TEXT_BYTES = 64 * 1024, PATH_BYTES = 1024, INPUT_BYTES = 1 << 20 };
/* A live viewer begins so many segments before the end (RFC 8216 6.3.3). */
enum { BEHIND = 3 };
static const int64_t SECOND_NS = 1000000000;

struct viewer {
  int fd;
  enum phase phase;
  enum what what;
  bool settled;
  const char *fault;
  /* The answer's head, then a playlist's text; and the text of the last playlist, in which `files` point. */
  char *text, *listing;
  size_t text_len;
  uint64_t left;
  char path[PATH_BYTES];
  char *files[MOST_LISTED];
  int listed, turn;
  /* Media sequence numbers: of the first one listed, and of the last one read. */
  int64_t first, last;
  int64_t target_ns, reload_ns;
  uint64_t bytes;
  uint32_t segments, playlists, missed;
};

static const char *host = "127.0.0.1", *first_path = "/live/stream.m3u8";
static int port, total = 1, setup_s = 60;
static bool again;
static struct viewer *viewers;
static struct sockaddr_in address;
static int epoll, opened, settled;
static int64_t begin_ns;
static double begin_cpu;

static void settle(struct viewer *v) {
  if (!v->settled) settled++;
  v->settled = true;
}

static void fail(struct viewer *v, const char *why) {
  if (v->phase == DONE) return;
  settle(v);
  v->fault = why;
  v->phase = DONE;
  close(v->fd);
}

static void ask(struct viewer *v, enum what what, const char *file) {
  char request[PATH_BYTES + 128];
  int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", file, host, port);
  if (n < 0 || (size_t)n >= sizeof request) return fail(v, "was told an address too long");
  v->what = what;
  v->phase = ASKED;
  v->text_len = 0;
  if (send(v->fd, request, (size_t)n, MSG_NOSIGNAL) != n) fail(v, "could not write");
}

/* An address in a playlist, relative to it. */
static bool resolve(const struct viewer *v, const char *uri, char out[PATH_BYTES]) {
  int folder = 0;
  for (int i = 0; v->path[i] != 0 && v->path[i] != '?'; i++)
    if (v->path[i] == '/') folder = i + 1;
  int n = uri[0] == '/' ? snprintf(out, PATH_BYTES, "%s", uri)
                        : snprintf(out, PATH_BYTES, "%.*s%s", folder, v->path, uri);
  return strstr(uri, "://") == NULL && n < PATH_BYTES;
}

static void ask_playlist(struct viewer *v) {
  /* Until the answer it is due in an ordinary time. */
  v->reload_ns = now_ns() + (again ? SECOND_NS : v->target_ns);
  ask(v, PLAYLIST, v->path);
}

static void ask_segment(struct viewer *v, int index) {
  char file[PATH_BYTES];
  if (!resolve(v, v->files[index], file)) return fail(v, "was told an address that it does not take");
  ask(v, SEGMENT, file);
}

static void go_on(struct viewer *v) {
  if (again) {
    if (now_ns() >= v->reload_ns || v->listed == 0) return ask_playlist(v);
    return ask_segment(v, v->turn++ % v->listed);
  }
  if (v->last < 0) v->last = v->first + v->listed - BEHIND - 1;
  if (v->last < v->first - 1) {
    v->missed += (uint32_t)(v->first - 1 - v->last);
    v->last = v->first - 1;
  }
  if (v->last + 1 < v->first + v->listed) return ask_segment(v, (int)(v->last + 1 - v->first));
  v->phase = WAITING;
}

static void take_playlist(struct viewer *v) {
  char *saved = NULL;
  bool is_multivariant = false;
  int64_t before = v->first + v->listed;
  v->listed = 0;
  v->playlists++;
  v->text[v->text_len] = 0;
  char *text = v->text;
  v->text = v->listing;
  v->listing = text;
  if (strncmp(text, "#EXTM3U", 7) != 0) return fail(v, "got a playlist that is none");
  for (char *line = strtok_r(text, "\r\n", &saved); line != NULL; line = strtok_r(NULL, "\r\n", &saved)) {
    if (strncmp(line, "#EXT-X-STREAM-INF:", 18) == 0) is_multivariant = true;
    else if (strncmp(line, "#EXT-X-MEDIA-SEQUENCE:", 22) == 0) v->first = atoll(line + 22);
    else if (strncmp(line, "#EXT-X-TARGETDURATION:", 22) == 0) v->target_ns = atoll(line + 22) * SECOND_NS;
    else if (line[0] != '#' && v->listed < MOST_LISTED) v->files[v->listed++] = line;
  }
  if (v->listed == 0) return fail(v, "got a playlist with nothing in it");
  if (is_multivariant) {
    char path[PATH_BYTES];
    if (!resolve(v, v->files[0], path)) return fail(v, "was told an address that it does not take");
    strcpy(v->path, path);
    v->listed = 0;
    return ask_playlist(v);
  }
  if (!again && v->first + v->listed == before) v->reload_ns = now_ns() + v->target_ns / 2;
  go_on(v);
}

static void answered(struct viewer *v) {
  if (v->what == PLAYLIST) return take_playlist(v);
  v->segments++;
  v->last++;
  settle(v);
  go_on(v);
}

/* The head is whole: `body` of its bytes are behind it already. */
static void take_head(struct viewer *v, char *body, size_t n) {
  body[-1] = 0;
  if (strncmp(v->text, "HTTP/1.1 200 ", 13) != 0) {
    static char answers[64];
    snprintf(answers, sizeof answers, "was answered %.3s for a %s", v->text + 9, v->what == PLAYLIST ? "playlist" : "segment");
    return fail(v, answers);
  }
  const char *length = strcasestr(v->text, "\ncontent-length:");
  if (length == NULL) return fail(v, "got an answer without its length");
  v->left = strtoull(length + 16, NULL, 10);
  if (n > v->left) return fail(v, "got more than it asked for");
  if (v->what == PLAYLIST && v->left >= TEXT_BYTES) return fail(v, "got a playlist too long");
  memmove(v->text, body, n);
  v->text_len = n;
  v->left -= n;
  v->bytes += n;
  v->phase = BODY;
}

static void on_readable(struct viewer *v) {
  bool has_more = true;
  while (has_more && v->phase != DONE) {
    ssize_t n;
    if (v->phase == BODY && v->what == SEGMENT) {
      /* The kernel counts and forgets. */
      size_t most = v->left < INPUT_BYTES ? v->left : INPUT_BYTES;
      n = recv(v->fd, NULL, most, MSG_TRUNC);
      has_more = n == (ssize_t)most;
    } else {
      size_t room = TEXT_BYTES - v->text_len - 1;
      n = recv(v->fd, v->text + v->text_len, v->phase == ASKED && room > 4096 ? 4096 : room, 0);
    }
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return fail(v, "was ended by the server");
    if (v->phase == WAITING) return fail(v, "got what it did not ask for");
    if (v->phase == ASKED) {
      v->text_len += (size_t)n;
      char *end = memmem(v->text, v->text_len, "\r\n\r\n", 4);
      if (end != NULL) take_head(v, end + 4, (size_t)(v->text + v->text_len - end - 4));
      else if (v->text_len + 1 >= TEXT_BYTES) return fail(v, "got a head too long");
    } else {
      v->left -= (uint64_t)n;
      v->bytes += (uint64_t)n;
      if (v->what == PLAYLIST) v->text_len += (size_t)n;
    }
    if (v->phase == BODY && v->left == 0) answered(v);
  }
}

static void open_viewer(struct viewer *v) {
  v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (v->fd < 0) die("hls-client: socket: %s", strerror(errno));
  int one = 1;
  setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  v->phase = CONNECTING;
  v->text = must_alloc(NULL, TEXT_BYTES);
  v->listing = must_alloc(NULL, TEXT_BYTES);
  v->last = -1;
  v->turn = (int)(v - viewers);
  strcpy(v->path, first_path);
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = v};
  epoll_ctl(epoll, EPOLL_CTL_ADD, v->fd, &e);
  if (connect(v->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
    fail(v, "could not connect");
}

static void on_connected(struct viewer *v) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return fail(v, "could not connect");
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = v};
  epoll_ctl(epoll, EPOLL_CTL_MOD, v->fd, &e);
  ask_playlist(v);
}

/* ---- the span that counts ---- */

static void begin(void) {
  begin_ns = now_ns();
  begin_cpu = cpu_seconds();
  for (int i = 0; i < total; i++) {
    struct viewer *v = &viewers[i];
    v->bytes = 0;
    v->segments = v->playlists = v->missed = 0;
  }
}

static void end(void) {
  double seconds = (double)(now_ns() - begin_ns) / 1e9;
  uint64_t bytes = 0, segments = 0, playlists = 0, missed = 0;
  int64_t newest = 0;
  int full = 0;
  const char *fault = NULL;
  for (int i = 0; i < total; i++)
    if (viewers[i].last > newest) newest = viewers[i].last;
  for (int i = 0; i < total; i++) {
    struct viewer *v = &viewers[i];
    bytes += v->bytes;
    segments += v->segments;
    playlists += v->playlists;
    missed += v->missed;
    if (v->fault != NULL) fault = v->fault;
    else if (v->missed > 0) fault = "missed segments";
    else if (!again && newest - v->last > BEHIND) fault = "fell behind the others";
    else if (again && v->segments == 0) fault = "got nothing";
    else full++;
  }
  printf("{\"viewers\":%d,\"full\":%d,\"seconds\":%.3f,\"bytes\":%llu,\"segments\":%llu,\"playlists\":%llu,\"missed\":%llu,"
         "\"cpuShare\":%.3f,\"fault\":",
         total, full, seconds, (unsigned long long)bytes, (unsigned long long)segments, (unsigned long long)playlists,
         (unsigned long long)missed, (cpu_seconds() - begin_cpu) / seconds);
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
    if (v->fault != NULL || !v->settled)
      die("hls-client: %d of %d viewers are ready after %d s; viewer %d %s", settled, total, setup_s, i,
          v->fault != NULL ? v->fault : "is not");
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--again") == 0) {
      again = true;
      continue;
    }
    const char *v = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--port") == 0) port = atoi(v);
    else if (strcmp(argv[i], "--path") == 0) first_path = v;
    else if (strcmp(argv[i], "--viewers") == 0) total = atoi(v);
    else if (strcmp(argv[i], "--setup-s") == 0) setup_s = atoi(v);
    else die("hls-client: unknown option %s", argv[i]);
    i++;
  }
  if (port == 0 || total < 1 || strlen(first_path) >= PATH_BYTES) die("hls-client: wrong options");
  raise_open_files();
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  viewers = must_alloc(NULL, sizeof *viewers * (size_t)total);
  memset(viewers, 0, sizeof *viewers * (size_t)total);
  epoll = epoll_create1(0);
  fcntl(0, F_SETFL, O_NONBLOCK);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &input);

  bool ready = false;
  int64_t most_ns = now_ns() + (int64_t)setup_s * SECOND_NS, looked_ns = 0;
  static struct epoll_event events[512];
  for (;;) {
    while (opened < total && opened - settled < MOST_SETUPS) open_viewer(&viewers[opened++]);
    int n = epoll_wait(epoll, events, 512, 10);
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
    int64_t now = now_ns();
    if (!again && now - looked_ns > SECOND_NS / 100) {
      looked_ns = now;
      for (int i = 0; i < opened; i++)
        if (viewers[i].phase == WAITING && now >= viewers[i].reload_ns) ask_playlist(&viewers[i]);
    }
    if (!ready && settled == total) {
      for (int i = 0; i < total; i++)
        if (viewers[i].fault != NULL) give_up();
      ready = true;
      printf("ready\n");
      fflush(stdout);
    }
    if (!ready && now > most_ns) give_up();
  }
}

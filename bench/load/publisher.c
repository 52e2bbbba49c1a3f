/*
 * Publishes streams in real time over RTMP: 1080p25 H.264 and AAC with the sizes of a real encode, a key frame every 2 s,
 * each message with its mark. Streams start spread over a frame's time. Nothing else of the content means anything.
 *
 *   publisher --port N [--host A] [--app live] [--stream name] [--streams 1] [--kbps 2700] [--chunk 4096]
 *
 * With several streams their names are name-0, name-1, … Says `ready` when every stream is accepted. Input: `end`, or
 * its end, stops; then one line of JSON tells what was sent and whether the server took all of it in time.
 */
#define _GNU_SOURCE
#include "rtmp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GOP_FRAMES = 50, AUDIO_KBPS = 128, AUDIO_FRAME_BYTES = AUDIO_KBPS * 1000 / 8 * 1024 / AUDIO_RATE };
#define KEY_WEIGHT 8.0
/* The product takes messages of 8 MiB, peers less. */
#define MOST_FRAME_BYTES ((8 << 20) - 1024)

/* AVCDecoderConfigurationRecord of a 1080p25 High@4.0 encode, AudioSpecificConfig of AAC-LC 48 kHz stereo. */
static const uint8_t avc_config[] = {0x01, 0x64, 0x00, 0x28, 0xff, 0xe1, 0x00, 0x1b, 0x67, 0x64, 0x00, 0x28,
                                     0xac, 0xb2, 0x00, 0xf0, 0x04, 0x4f, 0xcb, 0x80, 0x88, 0x00, 0x00, 0x03,
                                     0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0x90, 0x78, 0xc1, 0x92, 0x40, 0x01,
                                     0x00, 0x06, 0x68, 0xeb, 0xc3, 0xcb, 0x22, 0xc0, 0xfd, 0xf8, 0xf8, 0x00};
static const uint8_t aac_config[] = {0x11, 0x90};

struct stream {
  int fd;
  int64_t start_ns, frames[2];
  bool accepted, failed;
  struct reader in;
  /* What the socket did not take yet. */
  struct buf out;
  size_t sent;
};

static const char *host = "127.0.0.1", *app = "live", *name = "stream";
static int port, count = 1, kbps = 2700;
static uint32_t chunk_size = 4096;
static struct stream *streams;
static uint8_t noise[1 << 20];
static size_t frame_bytes[GOP_FRAMES];
static int64_t late_ns;
static size_t most_backlog;

static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint32_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 32);
}

/* A key frame is as large as eight ordinary ones, which differ by up to a half. */
static void plan_sizes(void) {
  double weights[GOP_FRAMES], sum = 0;
  for (int i = 0; i < GOP_FRAMES; i++) {
    weights[i] = i == 0 ? KEY_WEIGHT : 0.5 + next_random() % 1000 / 1000.0;
    sum += weights[i];
  }
  double gop_bytes = (kbps - AUDIO_KBPS) * 1000.0 / 8 * GOP_FRAMES / VIDEO_FPS;
  for (int i = 0; i < GOP_FRAMES; i++) frame_bytes[i] = 256 + (size_t)(gop_bytes * weights[i] / sum);
  if (frame_bytes[0] > MOST_FRAME_BYTES) {
    double most = (double)kbps * MOST_FRAME_BYTES / (double)frame_bytes[0];
    die("publisher: --kbps %d has key frames of %zu bytes, more than a message may have: %.0f is about the most", kbps,
        frame_bytes[0], most);
  }
}

/* Bytes that do not compress, none of them 0. */
static void put_noise(uint8_t *to, size_t len) {
  while (len > 0) {
    size_t n = len < sizeof noise / 2 ? len : sizeof noise / 2;
    memcpy(to, noise + next_random() % (sizeof noise / 2), n);
    to += n;
    len -= n;
  }
}

static void push_out(struct stream *s) {
  while (s->sent < s->out.len) {
    ssize_t n = send(s->fd, s->out.data + s->sent, s->out.len - s->sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN) s->failed = true;
      break;
    }
    s->sent += (size_t)n;
  }
  size_t backlog = s->out.len - s->sent;
  if (backlog > most_backlog) most_backlog = backlog;
  if (backlog == 0) s->out.len = s->sent = 0;
}

static void send_media(struct stream *s, bool video) {
  static uint8_t body[MOST_FRAME_BYTES + 1024];
  int64_t n = s->frames[video]++;
  size_t len;
  if (video) {
    size_t slice = frame_bytes[n % GOP_FRAMES];
    bool key = n % GOP_FRAMES == 0;
    static const uint8_t tag[] = {0x27, 1, 0, 0, 0};
    memcpy(body, tag, 5);
    if (key) body[0] = 0x17;
    put32(body + 5, 3 + MARK_BYTES + 1);
    body[9] = 6; /* SEI */
    body[10] = 5; /* user_data_unregistered */
    body[11] = MARK_BYTES;
    body[VIDEO_MARK_OFFSET + MARK_BYTES] = 0x80;
    len = VIDEO_MARK_OFFSET + MARK_BYTES + 1;
    put32(body + len, (uint32_t)slice);
    put_noise(body + len + 4, slice);
    body[len + 4] = key ? 0x65 : 0x41;
    len += 4 + slice;
  } else {
    body[0] = 0xaf;
    body[1] = 1;
    len = 2 + AUDIO_FRAME_BYTES;
    put_noise(body + 2, AUDIO_FRAME_BYTES);
  }
  int64_t at = now_ns();
  int64_t late = at - s->start_ns - media_ms(video, n) * 1000000;
  if (late > late_ns) late_ns = late;
  mark_put(body + (video ? VIDEO_MARK_OFFSET : AUDIO_MARK_OFFSET), (uint32_t)n, at);
  put_message(&s->out, chunk_size, video ? 6 : 4, video ? MSG_VIDEO : MSG_AUDIO, 1, (uint32_t)media_ms(video, n), body,
              len);
  push_out(s);
}

static void send_command(struct stream *s, uint32_t stream_id, struct buf *payload) {
  put_message(&s->out, chunk_size, 3, MSG_COMMAND, stream_id, 0, payload->data, payload->len);
  payload->len = 0;
  push_out(s);
}

static void send_headers(struct stream *s) {
  struct buf b = {0};
  amf_string(&b, "@setDataFrame");
  amf_string(&b, "onMetaData");
  static const struct {
    const char *key;
    double value;
  } facts[] = {{"width", 1920},          {"height", 1080},      {"framerate", VIDEO_FPS},
               {"videocodecid", 7},      {"audiocodecid", 10},  {"audiosamplerate", AUDIO_RATE},
               {"audiosamplesize", 16},  {"audiochannels", 2}};
  uint8_t *ecma = buf_room(&b, 5);
  ecma[0] = 8;
  put32(ecma + 1, sizeof facts / sizeof facts[0]);
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
    amf_key(&b, facts[i].key);
    amf_number(&b, facts[i].value);
  }
  amf_end(&b);
  put_message(&s->out, chunk_size, 4, MSG_DATA, 1, 0, b.data, b.len);
  static const uint8_t video_tag[] = {0x17, 0, 0, 0, 0}, audio_tag[] = {0xaf, 0};
  b.len = 0;
  buf_put(&b, video_tag, 5);
  buf_put(&b, avc_config, sizeof avc_config);
  put_message(&s->out, chunk_size, 6, MSG_VIDEO, 1, 0, b.data, b.len);
  b.len = 0;
  buf_put(&b, audio_tag, 2);
  buf_put(&b, aac_config, 2);
  put_message(&s->out, chunk_size, 4, MSG_AUDIO, 1, 0, b.data, b.len);
  free(b.data);
  push_out(s);
}

static bool take_message(void *context, const struct message *m) {
  struct stream *s = context;
  if (m->type == MSG_USER_CONTROL && m->kept >= 6 && get32(m->head) >> 16 == USER_PING_REQUEST) {
    put_pong(&s->out, m->head);
    push_out(s);
  }
  if (m->type != MSG_COMMAND) return true;
  char command[64];
  double transaction;
  size_t at = command_head(m->head, m->kept, command, &transaction);
  struct buf b = {0};
  if (strcmp(command, "_result") == 0 && transaction == 1) {
    amf_string(&b, "createStream");
    amf_number(&b, 2);
    amf_null(&b);
    send_command(s, 0, &b);
  } else if (strcmp(command, "_result") == 0 && transaction == 2) {
    char own[128];
    if (count == 1) snprintf(own, sizeof own, "%s", name);
    else snprintf(own, sizeof own, "%s-%d", name, (int)(s - streams));
    amf_string(&b, "publish");
    amf_number(&b, 3);
    amf_null(&b);
    amf_string(&b, own);
    amf_string(&b, "live");
    send_command(s, 1, &b);
  } else if (strcmp(command, "onStatus") == 0) {
    if (memmem(m->head + at, m->kept - at, "NetStream.Publish.Start", 23) != NULL) s->accepted = true;
    else if (memmem(m->head + at, m->kept - at, "error", 5) != NULL) return false;
  } else if (strcmp(command, "_error") == 0) {
    return false;
  }
  free(b.data);
  return true;
}

/* Blocking: handshake and connect; the rest goes by answers. */
static void open_stream(struct stream *s) {
  s->fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  if (connect(s->fd, (struct sockaddr *)&to, sizeof to) != 0) die("publisher: connect to port %d: %s", port, strerror(errno));
  int one = 1;
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  static uint8_t c[1 + HANDSHAKE_BYTES], answer[1 + 2 * HANDSHAKE_BYTES];
  memset(c, 0, sizeof c);
  c[0] = 3;
  memcpy(c + 9, noise, HANDSHAKE_BYTES - 8);
  if (send(s->fd, c, sizeof c, MSG_NOSIGNAL) != sizeof c) die("publisher: handshake: %s", strerror(errno));
  for (size_t got = 0; got < sizeof answer;) {
    ssize_t n = recv(s->fd, answer + got, sizeof answer - got, 0);
    if (n <= 0) die("publisher: the server ended the handshake");
    got += (size_t)n;
  }
  send(s->fd, answer + 1, HANDSHAKE_BYTES, MSG_NOSIGNAL);
  fcntl(s->fd, F_SETFL, O_NONBLOCK);
  reader_init(&s->in, 1024);

  struct buf b = {0};
  uint8_t size[4];
  put32(size, chunk_size);
  put_message(&s->out, DEFAULT_CHUNK, 2, MSG_SET_CHUNK_SIZE, 0, 0, size, 4);
  char url[256];
  snprintf(url, sizeof url, "rtmp://%s:%d/%s", host, port, app);
  amf_string(&b, "connect");
  amf_number(&b, 1);
  amf_begin(&b);
  amf_pair(&b, "app", app);
  amf_pair(&b, "type", "nonprivate");
  amf_pair(&b, "flashVer", "FMLE/3.0 (compatible; livecluster bench)");
  amf_pair(&b, "tcUrl", url);
  amf_end(&b);
  send_command(s, 0, &b);
  free(b.data);
}

static void read_stream(struct stream *s) {
  uint8_t input[16384];
  ssize_t n;
  while ((n = recv(s->fd, input, sizeof input, 0)) > 0)
    if (!reader_feed(&s->in, input, (size_t)n, take_message, s)) s->failed = true;
  if (n == 0 || (n < 0 && errno != EAGAIN)) s->failed = true;
}

static void check_failed(void) {
  for (int i = 0; i < count; i++)
    if (streams[i].failed) die("publisher: the server ended stream %d after %lld video frames", i, (long long)streams[i].frames[1]);
}

int main(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *v = argv[i + 1];
    if (strcmp(argv[i], "--port") == 0) port = atoi(v);
    else if (strcmp(argv[i], "--host") == 0) host = v;
    else if (strcmp(argv[i], "--app") == 0) app = v;
    else if (strcmp(argv[i], "--stream") == 0) name = v;
    else if (strcmp(argv[i], "--streams") == 0) count = atoi(v);
    else if (strcmp(argv[i], "--kbps") == 0) kbps = atoi(v);
    else if (strcmp(argv[i], "--chunk") == 0) chunk_size = (uint32_t)atoi(v);
    else die("publisher: unknown option %s", argv[i]);
  }
  if (port == 0 || count < 1 || kbps <= AUDIO_KBPS) die("publisher: wrong options");
  raise_open_files();
  /* Its clock matters more than the viewers'; where that is not allowed it does without. */
  setpriority(PRIO_PROCESS, 0, -15);
  struct sched_param first = {.sched_priority = 2};
  if (sched_getscheduler(0) == SCHED_RR) sched_setscheduler(0, SCHED_RR, &first);
  for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(1 + next_random() % 255);
  plan_sizes();

  streams = must_alloc(NULL, sizeof *streams * (size_t)count);
  memset(streams, 0, sizeof *streams * (size_t)count);
  struct pollfd *polls = must_alloc(NULL, sizeof *polls * (size_t)(count + 1));
  for (int i = 0; i < count; i++) {
    open_stream(&streams[i]);
    polls[i] = (struct pollfd){.fd = streams[i].fd, .events = POLLIN};
    int64_t give_up = now_ns() + 10000000000;
    while (!streams[i].accepted) {
      poll(&polls[i], 1, 100);
      read_stream(&streams[i]);
      check_failed();
      if (now_ns() > give_up) die("publisher: the server did not accept stream %d", i);
    }
  }
  polls[count] = (struct pollfd){.fd = 0, .events = POLLIN};

  int64_t start = now_ns();
  for (int i = 0; i < count; i++) {
    streams[i].start_ns = start + (int64_t)i * 1000000000 / VIDEO_FPS / count;
    send_headers(&streams[i]);
  }
  printf("ready\n");
  fflush(stdout);

  double cpu = cpu_seconds();
  for (;;) {
    int64_t due = INT64_MAX, now = now_ns();
    for (int i = 0; i < count; i++) {
      struct stream *s = &streams[i];
      for (int video = 1; video >= 0; video--) {
        int64_t next;
        while ((next = s->start_ns + media_ms(video, s->frames[video]) * 1000000) <= now) send_media(s, video);
        if (next < due) due = next;
      }
      polls[i].events = (short)(s->sent < s->out.len ? POLLIN | POLLOUT : POLLIN);
    }
    int64_t wait = due - now_ns();
    struct timespec t = {wait > 0 ? wait / 1000000000 : 0, wait > 0 ? wait % 1000000000 : 0};
    if (ppoll(polls, (nfds_t)count + 1, &t, NULL) > 0) {
      if (polls[count].revents != 0) break;
      for (int i = 0; i < count; i++) {
        if (polls[i].revents & POLLOUT) push_out(&streams[i]);
        if (polls[i].revents & (POLLIN | POLLHUP | POLLERR)) read_stream(&streams[i]);
      }
    }
    check_failed();
  }

  int64_t video = 0, audio = 0;
  int unsent = 0;
  for (int i = 0; i < count; i++) {
    int waiting = 0;
    ioctl(streams[i].fd, SIOCOUTQ, &waiting);
    unsent += waiting + (int)(streams[i].out.len - streams[i].sent);
    video += streams[i].frames[1];
    audio += streams[i].frames[0];
  }
  double seconds = (double)(now_ns() - start) / 1e9;
  printf("{\"streams\":%d,\"seconds\":%.3f,\"videoFrames\":%lld,\"audioFrames\":%lld,\"latestMs\":%.2f,"
         "\"mostBacklogBytes\":%zu,\"unsentBytes\":%d,\"cpuShare\":%.3f}\n",
         count, seconds, (long long)video, (long long)audio, (double)late_ns / 1e6, most_backlog, unsent,
         (cpu_seconds() - cpu) / seconds);
  return 0;
}

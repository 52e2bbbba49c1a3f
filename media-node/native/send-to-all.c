/*
 * sendToAll(descriptors: Int32Array, count: number, bytes: Uint8Array, sent: Int32Array): number
 *
 * One send(2) of all of `bytes` for each of the first `count` descriptors, none of which waits. sent[i] becomes the number of bytes
 * that the kernel took, or the negated errno (-EAGAIN: it takes none now; -EBADF: no descriptor). Answers for how many
 * descriptors that is not bytes.length. Throws before the first send where an argument is not what it should be.
 *
 * Why it is not in TypeScript, and what it saves: docs/adr/0014-send-to-all.md.
 */
#define NAPI_VERSION 8
#include <node_api.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* macOS has none; Node ignores SIGPIPE everywhere. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* What the build was made from: build.ts looks here whether it is up to date. */
#ifndef BUILT_FROM
#define BUILT_FROM ""
#endif

static int32_t send_now(int descriptor, const void *bytes, size_t length) {
  ssize_t taken;
  do {
    taken = send(descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (taken < 0 && errno == EINTR);
  return taken < 0 ? -errno : (int32_t)taken;
}

/* False, with an exception thrown, where `value` is no typed array of this type. */
static bool typed_array(napi_env env, napi_value value, napi_typedarray_type wanted, const char *otherwise,
                        void **data, size_t *length) {
  bool is_typed_array = false;
  napi_typedarray_type type;
  if (napi_is_typedarray(env, value, &is_typed_array) == napi_ok && is_typed_array &&
      napi_get_typedarray_info(env, value, &type, length, data, NULL, NULL) == napi_ok && type == wanted) {
    return true;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", otherwise);
  return false;
}

static napi_value out_of_range(napi_env env, const char *message) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return NULL;
}

static napi_value send_to_all(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  size_t given = 4;
  void *descriptors, *bytes, *sent;
  size_t descriptors_length, bytes_length, sent_length;
  double count;

  /* Arguments that are not given are undefined. */
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok) return NULL;
  if (!typed_array(env, arguments[0], napi_int32_array, "sendToAll: descriptors is not an Int32Array", &descriptors,
                   &descriptors_length) ||
      !typed_array(env, arguments[2], napi_uint8_array, "sendToAll: bytes is not a Uint8Array", &bytes,
                   &bytes_length) ||
      !typed_array(env, arguments[3], napi_int32_array, "sendToAll: sent is not an Int32Array", &sent, &sent_length)) {
    return NULL;
  }
  if (napi_get_value_double(env, arguments[1], &count) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "sendToAll: count is not a number");
    return NULL;
  }
  /* Not a number is neither. */
  if (!(count >= 0 && count <= UINT32_MAX) || count != (double)(uint32_t)count) {
    return out_of_range(env, "sendToAll: count is not a whole number from 0");
  }
  const size_t wanted = (size_t)count;
  if (wanted > descriptors_length) return out_of_range(env, "sendToAll: count is more than descriptors holds");
  if (wanted > sent_length) return out_of_range(env, "sendToAll: count is more than sent has room for");
  if (bytes_length > INT32_MAX) return out_of_range(env, "sendToAll: bytes is longer than 2147483647");

  uint32_t unfinished = 0;
  for (size_t i = 0; i < wanted; i++) {
    const int32_t taken = send_now(((const int32_t *)descriptors)[i], bytes, bytes_length);
    ((int32_t *)sent)[i] = taken;
    if (taken != (int32_t)bytes_length) unfinished++;
  }

  napi_value answer;
  return napi_create_uint32(env, unfinished, &answer) == napi_ok ? answer : NULL;
}

NAPI_MODULE_INIT() {
  napi_value function, built_from;
  if (napi_create_function(env, "sendToAll", NAPI_AUTO_LENGTH, send_to_all, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "sendToAll", function) != napi_ok ||
      napi_create_string_utf8(env, BUILT_FROM, NAPI_AUTO_LENGTH, &built_from) != napi_ok ||
      napi_set_named_property(env, exports, "builtFrom", built_from) != napi_ok) {
    return NULL;
  }
  return exports;
}

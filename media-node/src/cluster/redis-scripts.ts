import { MAX_EPOCH } from '#contract/directory-keys.ts';

/*
 * The directory's atomic steps in Redis. Each key a script touches is in KEYS, all with one hash tag; the channel is no
 * key. A record that doesn't parse counts as absent. Numbers go out as strings: Lua would print large ones as 1.7e+12.
 */

const PRELUDE = `
local function text(number) return string.format('%.0f', number) end
local function timeMs()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
-- One further ahead than ten years is broken, and must not become the floor of every later one.
local maxEpoch = math.min(${MAX_EPOCH}, timeMs() + 315360000000)
local function epochOf(value)
  local number = tonumber(value)
  if number and number >= 1 and number <= maxEpoch then return number end
  return nil
end
local function decode(raw)
  if not raw then return nil end
  local ok, record = pcall(cjson.decode, raw)
  if not ok or type(record) ~= 'table' or type(record.nodeId) ~= 'string' or type(record.epoch) ~= 'number' then
    return nil
  end
  if not epochOf(record.epoch) then return nil end
  return record
end
local function announce(channel, kind, field, nodeId, epoch)
  -- cjson prints 14 digits, enough for every epoch.
  redis.call('PUBLISH', channel, cjson.encode({ version = 1, kind = kind, field = field, nodeId = nodeId, epoch = epoch }))
end
`;

function script(body: string): string {
  return `${PRELUDE}${body}`;
}

/** KEYS: lease, nodes, born. ARGV: lease JSON, lease ms, node id. → [former lease or '', time]. */
export const BEAT = script(`
local now = timeMs()
local former = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[2])), ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now - 60000))
redis.call('SET', KEYS[3], text(now), 'NX')
return { former or '', text(now) }
`);

/**
 * KEYS: streams, epoch, born. ARGV: field, node id, claimant JSON, expected node id or '', expected epoch, floor epoch,
 * settled age ms or '', time after which the claim is void, channel.
 * → ['ok', epoch], ['busy', record], ['unsettled'] or ['late'].
 */
export const CLAIM = script(`
local now = timeMs()
if now > tonumber(ARGV[8]) then return { 'late' } end
local raw = redis.call('HGET', KEYS[1], ARGV[1])
local record = decode(raw)
local epoch = math.max(now, tonumber(ARGV[6]), epochOf(redis.call('GET', KEYS[2])) or 0)
if record then
  local expected = ARGV[4] ~= '' and record.nodeId == ARGV[4] and record.epoch == tonumber(ARGV[5])
  if record.nodeId ~= ARGV[2] and not expected then return { 'busy', raw } end
  epoch = math.max(epoch, record.epoch)
elseif ARGV[7] ~= '' and ARGV[4] == '' then
  local born = tonumber(redis.call('GET', KEYS[3]) or '')
  if not born or now - born < tonumber(ARGV[7]) then return { 'unsettled' } end
end
epoch = epoch + 1
redis.call('SET', KEYS[2], text(epoch))
redis.call('HSET', KEYS[1], ARGV[1], string.sub(ARGV[3], 1, -2) .. ',"epoch":' .. text(epoch) .. '}')
announce(ARGV[9], 'claimed', ARGV[1], ARGV[2], epoch)
return { 'ok', text(epoch) }
`);

/**
 * KEYS: streams, epoch. ARGV: node id, channel, then field and record JSON in turn.
 * → for each the record that ranks higher and stays, or ''.
 */
export const ASSERT = script(`
local answers = {}
local last = epochOf(redis.call('GET', KEYS[2])) or 0
local highest = last
for at = 3, #ARGV, 2 do
  local field, mine = ARGV[at], cjson.decode(ARGV[at + 1])
  local raw = redis.call('HGET', KEYS[1], field)
  local record = decode(raw)
  local answer = ''
  if record and (record.epoch > mine.epoch or (record.epoch == mine.epoch and record.nodeId > mine.nodeId)) then
    answer = raw
  elseif not record or record.nodeId ~= mine.nodeId or record.epoch ~= mine.epoch then
    redis.call('HSET', KEYS[1], field, ARGV[at + 1])
    announce(ARGV[2], 'claimed', field, ARGV[1], mine.epoch)
  end
  highest = math.max(highest, mine.epoch)
  answers[#answers + 1] = answer
end
if highest > last then redis.call('SET', KEYS[2], text(highest)) end
return answers
`);

/** KEYS: streams. ARGV: node id, channel, then field and epoch ('' for any) in turn. → number deleted. */
export const RELEASE = script(`
local deleted = 0
for at = 3, #ARGV, 2 do
  local record = decode(redis.call('HGET', KEYS[1], ARGV[at]))
  if record and record.nodeId == ARGV[1] and (ARGV[at + 1] == '' or record.epoch == tonumber(ARGV[at + 1])) then
    redis.call('HDEL', KEYS[1], ARGV[at])
    announce(ARGV[2], 'released', ARGV[at], ARGV[1], record.epoch)
    deleted = deleted + 1
  end
end
return deleted
`);

/** KEYS: streams. ARGV: field, value. Deletes the field if it has exactly this value. */
export const DROP = script(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
`);

/** KEYS: nodes. → ids of the nodes whose lease should live by its score, at most 1,000. */
export const LIVE_NODES = script(`
return redis.call('ZRANGEBYSCORE', KEYS[1], text(timeMs()), '+inf', 'LIMIT', 0, 1000)
`);

/** KEYS: sessions. ARGV: node id, then ms for each. → for each 1 where the node counts it, 0 where another one does. */
export const CLAIM_SESSIONS = script(`
local answers = {}
for at, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if not holder or holder == ARGV[1] then
    redis.call('SET', key, ARGV[1], 'PX', ARGV[at + 1])
    answers[at] = 1
  else
    answers[at] = 0
  end
end
return answers
`);

/** KEYS: sessions. ARGV: node id. Deletes those that the node counts. */
export const RELEASE_SESSIONS = script(`
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 1
`);

/** KEYS: ended. ARGV: most that are kept, channel, message, then id and ms in turn. */
export const END_SESSIONS = script(`
local now = timeMs()
for at = 4, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'GT', text(now + tonumber(ARGV[at + 1])), ARGV[at])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[1]))
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
`);

/** KEYS: ended. ARGV: most that are asked for. → id and ms left in turn, those that end last first. */
export const ENDED_SESSIONS = script(`
local now = timeMs()
local found = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', text(now), 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[1]))
for at = 2, #found, 2 do found[at] = text(tonumber(found[at]) - now) end
return found
`);

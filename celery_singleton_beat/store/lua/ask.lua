-- ask: open a request for runs of an entry, once for each id.
-- Twins: protocol/asked.repeated, asked.stopped_by, asked.ask; MemoryAsked.ask.
-- ARGV 6 channel, 7 history limits, 8 request, 9 entry, 10 backfill (0/1), 11 from ms, 12 until ms,
--   13 total, 14 most, 15 step, 16 by
-- Answer: {epoch, verdict, from ms, what stopped its entry}
local FORGET = 100
local request, entry, is_backfill = ARGV[8], ARGV[9], ARGV[10] == '1'
local function answer(verdict, from, why)
  return cjson.encode({epoch, verdict, from or 0, why or ''})
end

local function forget_old()
  local old = redis.call('ZRANGEBYSCORE', ASKED_OVER, '-inf', int(now), 'LIMIT', 0, FORGET)
  if #old == 0 then return end
  redis.call('HDEL', ASKS, unpack(old))
  redis.call('HDEL', ASKED_SLOTS, unpack(old))
  redis.call('ZREM', ASKED_OVER, unpack(old))
end

local function is_same(ask)
  if ask[10] ~= entry or (ask[1] == 1) ~= is_backfill then return false end
  return not is_backfill or (int(ask[3]) == ARGV[11] and int(ask[4]) == ARGV[12])
end

local function stopped_by(card)
  if redis.call('HGET', KEYS[1], 'paused') == '1' then return 'all' end
  if not card then return nil end
  if tenant_of(card[6])[2] == 1 then return 'tenant' end
  if card[5] == 1 then return 'paused' end
  return card[4] == 0 and 'disabled' or nil
end

forget_old()
local known = read_ask(redis.call('HGET', ASKS, request))
if known and is_same(known) then return answer('ASKED', int(known[3])) end
if known then return answer('CONFLICT') end

local card = read_card(redis.call('HGET', CARDS, entry))
if not card then
  local slot = read_slot(redis.call('HGET', CONFIG_SLOTS, entry))
  if not slot or (slot[2] < 0 and slot[1] >= 0) then return answer('UNKNOWN') end
end
local why = not is_backfill and stopped_by(card)
if why then return answer('STOPPED', 0, why) end

local from = is_backfill and ARGV[11] or int(now)
local ask = {tonumber(ARGV[10]), card and 0 or 1, tonumber(from),
             is_backfill and tonumber(ARGV[12]) or now, now, tonumber(ARGV[13]),
             tonumber(ARGV[14]), tonumber(ARGV[15]), ARGV[16], entry}
local texts = {}
for i = 1, 8 do texts[i] = int(ask[i]) end
redis.call('HSET', ASKS, request, join(unpack(texts, 1, 8)) .. '|' .. ask[9] .. '|' .. entry)
redis.call('HSET', ASKED_SLOTS, request, slot_text({ask[3], now, 0, 0, 0, 0, -1, ''}))
redis.call('ZADD', index_of(ask), int(now), request)
redis.pcall('ZADD', ASKED_OF .. entry, int(now), request)
tell(ASK_HISTORY, ARGV[7], 'asked', entry, from, '', '0', ask[9], request)
redis.pcall('PUBLISH', ARGV[6], '')
return answer('ASKED', from)

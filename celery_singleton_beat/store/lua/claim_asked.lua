-- claim_asked: take open requests, those that wait the longest first.
-- Twins: protocol/asked.portion, asked.look_again_ms, claim.take; MemoryAsked.claim_asked.
-- KEYS 17 took_asked
-- ARGV 6 digest, 7 request id, 8 limit, 9 hold ms, 10 default max per minute, 11 history limits
-- Answer: {epoch, now, next ms or '', claims ('' for none): {request, ask, slot, card or '',
--   portion, request …}, then unreadable requests …}
local MOST = 1000
local asked_by, budget = ARGV[7], math.min(tonumber(ARGV[8]), MOST)
local hold, per_minute = tonumber(ARGV[9]), tonumber(ARGV[10])
local system = redis.call('HMGET', KEYS[1], 'paused', 'governor', 'adopted')
if system[1] == '1' then return cjson.encode({epoch, int(now), '', ''}) end
local indexes = {ASKED}
if system[2] == ARGV[6] and system[3] == ARGV[6] then indexes[2] = ASKED_CONFIG end
local claims, unreadable, taken = {}, {}, {}
local from = next_fence()

local function give(request, ask_text, slot_text_, card_text_, portion)
  for _, item in ipairs({request, ask_text, slot_text_, card_text_, int(portion)}) do
    claims[#claims + 1] = item
  end
end

-- The card of a request's entry, and whether that may run; the configuration's has none.
local function card_of(ask)
  if ask[2] == 1 then return '', nil, true end
  local text = redis.call('HGET', CARDS, ask[10])
  local card = read_card(text)
  if not card then return nil end
  return text, card, card[4] == 1 and card[5] == 0 and tenant_of(card[6])[2] == 0
end

-- The same request once more: what it took and still holds, unless it was stopped meanwhile.
local function repeated()
  -- What is foreign here is overwritten by what is claimed next.
  local last = split(redis.pcall('GET', KEYS[17]), 3)
  if not last or last[1] ~= asked_by then return false end
  local first, took = tonumber(last[2]), cjson.decode(last[3])
  for _, one in ipairs(took) do
    local ask_text = redis.call('HGET', ASKS, one[1])
    local text = redis.call('HGET', ASKED_SLOTS, one[1])
    local ask, slot = read_ask(ask_text), read_slot(text)
    if ask and slot and slot[4] > 0 and slot[3] >= first and slot[3] < first + #took then
      local card_text_, _, is_on = card_of(ask)
      if is_on then give(one[1], ask_text, text, card_text_, one[2]) end
    end
  end
  return true
end

local function set_aside(index, request, ask_text, text)
  unreadable[#unreadable + 1] = request
  redis.call('HSET', ASIDE, 'request ' .. request, (ask_text or '') .. ' ' .. (text or ''))
  redis.call('HDEL', ASKED_SLOTS, request)
  redis.call('ZREM', index, request)
  redis.call('ZADD', ASKED_OVER, int(now + ASK_KEPT), request)
end

-- How many occurrences of a request may be published, or when to look at it again.
local function portion_of(ask, slot, card)
  local share = math.min(ask[8], math.max(ask[6] - slot[6], 1), budget)
  if not card then return share end
  local tenant = tenant_of(card[6])
  local allowed = allowance(tenant, card[6], per_minute)
  if not allowed then return share end
  share = math.min(share, allowed)
  if share == 0 then return 0, (math.floor(now / MINUTE) + 1) * MINUTE end
  tenant[5] = tenant[5] + share
  save_tenant(card[6])
  return share
end

local function take(index, request)
  local ask_text, text = redis.call('HGET', ASKS, request), redis.call('HGET', ASKED_SLOTS, request)
  local ask, slot = read_ask(ask_text), read_slot(text)
  if not ask or not slot then return set_aside(index, request, ask_text, text) end
  local card_text_, card, is_on = card_of(ask)
  if not card_text_ then return drop(request, ask, 'dropped', '', ARGV[11]) end
  if not is_on then
    local later = math.min(1000 + 10 * redis.call('ZCARD', index), MINUTE)
    return redis.call('ZADD', index, int(now + later), request)
  end
  local portion, look_ms = portion_of(ask, slot, card)
  if portion == 0 then return redis.call('ZADD', index, int(look_ms), request) end
  slot[3], slot[4] = from + #taken, now + hold
  text = slot_text(slot)
  redis.call('HSET', ASKED_SLOTS, request, text)
  redis.call('ZADD', index, int(slot[4]), request)
  taken[#taken + 1] = {request, portion}
  budget = budget - portion
  give(request, ask_text, text, card_text_, portion)
end

-- What is due in all indexes, in their common order.
local function due()
  local found = {}
  for _, index in ipairs(indexes) do
    local page = redis.call('ZRANGEBYSCORE', index, '-inf', int(now), 'WITHSCORES', 'LIMIT', 0,
                            budget)
    for i = 1, #page, 2 do found[#found + 1] = {tonumber(page[i + 1]), page[i], index} end
  end
  table.sort(found, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  return found
end

if not repeated() then
  for _, one in ipairs(due()) do
    if budget > 0 then take(one[3], one[2]) end
  end
  if #taken > 0 then
    redis.call('HSET', KEYS[1], 'fence', int(from + #taken - 1))
    redis.call('SET', KEYS[17], join(asked_by, int(from), cjson.encode(taken)), 'PX', int(hold * 2))
  end
end

local next_ms
for _, index in ipairs(indexes) do
  local first = tonumber(redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2] or '')
  if first and (not next_ms or first < next_ms) then next_ms = first end
end
return cjson.encode({epoch, int(now), next_ms and int(next_ms) or '', #claims > 0 and claims or '',
                     unpack(unreadable)})

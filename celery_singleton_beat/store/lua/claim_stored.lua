-- claim_stored: take due stored entries, tenant by tenant.
-- Twins: protocol/stored.allowance, stored.spend, claim.take; MemoryTimetable.claim_stored.
-- KEYS 9 took
-- ARGV 6 request id, 7 limit, 8 hold ms, 9 default max per minute
-- Answer: {epoch, now, next ms or '', claims ('' for none): {entry, slot, card, resumed ms,
--   entry …}, then unreadable entries …}
local MINUTE = 60000
local request, limit, hold, per_minute = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]),
  tonumber(ARGV[9])
local system = redis.call('HMGET', KEYS[1], 'paused', 'resumed')
if system[1] == '1' then return cjson.encode({epoch, int(now), '', ''}) end
local resumed = tonumber(system[2] or '0')
local claims, unreadable, taken = {}, {}, {}
local from = next_fence()

local function give(entry, slot, text, card, card_text_)
  local since = math.max(resumed, tenant_of(card[6])[3], card[3])
  for _, item in ipairs({entry, text, card_text_, int(since)}) do claims[#claims + 1] = item end
end

-- The same request once more: what it took and still holds.
local function repeated()
  local last = split(redis.call('GET', KEYS[9]), 3)
  if not last or last[1] ~= request then return false end
  local first, names = tonumber(last[2]), cjson.decode(last[3])
  local slots = redis.call('HMGET', STORED, unpack(names))
  local cards = redis.call('HMGET', CARDS, unpack(names))
  for i, entry in ipairs(names) do
    local slot, card = read_slot(slots[i]), read_card(cards[i])
    local is_ours = slot and slot[4] > 0 and slot[3] >= first and slot[3] < first + #names
    if card and is_ours then give(entry, slot, slots[i], card, cards[i]) end
  end
  return true
end

local function set_aside(name, entry, card, card_text_, text)
  unreadable[#unreadable + 1] = entry
  if not card then
    redis.call('ZREM', OF .. name, entry)
    if card_text_ then
      redis.call('HSET', ASIDE, entry, card_text_)
      redis.call('HDEL', CARDS, entry)
    end
  else
    if text then redis.call('HSET', ASIDE, entry, text) end
    local slot = {-1, now, 0, 0, 0, 0, now, ''}
    redis.call('HSET', STORED, entry, slot_text(slot))
    look_at(entry, card, slot)
  end
end

local function take(name, share)
  local entries = redis.call('ZRANGEBYSCORE', OF .. name, '-inf', int(now), 'LIMIT', 0, share)
  if #entries == 0 then return 0 end
  local slots = redis.call('HMGET', STORED, unpack(entries))
  local cards = redis.call('HMGET', CARDS, unpack(entries))
  local records, scores, count = {}, {}, 0
  for i, entry in ipairs(entries) do
    local slot, card = read_slot(slots[i]), read_card(cards[i])
    if not slot or not card then
      set_aside(name, entry, card, cards[i], slots[i])
    elseif card[4] == 0 or card[5] == 1 or slot[4] > now then
      look_at(entry, card, slot)
    else
      slot[3], slot[4] = from + #taken, now + hold
      local text = slot_text(slot)
      records[#records + 1] = entry
      records[#records + 1] = text
      scores[#scores + 1] = int(slot[4])
      scores[#scores + 1] = entry
      taken[#taken + 1] = entry
      count = count + 1
      give(entry, slot, text, card, cards[i])
    end
  end
  if count > 0 then
    redis.call('HSET', STORED, unpack(records))
    redis.call('ZADD', OF .. name, unpack(scores))
  end
  return count
end

-- How much may be claimed in this minute, and nil for any number.
local function allowance(tenant, name)
  local most = tenant[6] == 1 and tenant[9] or name ~= '' and per_minute or -1
  if most < 0 then return nil end
  if tenant[4] ~= math.floor(now / MINUTE) then tenant[4], tenant[5] = math.floor(now / MINUTE), 0 end
  return math.max(most - tenant[5], 0)
end

local function serve(name, share)
  local tenant = tenant_of(name)
  local allowed = allowance(tenant, name)
  if allowed then share = math.min(share, allowed) end
  local count = share > 0 and take(name, share) or 0
  if allowed and count > 0 then
    tenant[5] = tenant[5] + count
    save_tenant(name)
  end
  local first = first_look(name)
  if first and first <= now then
    first = now
    if allowed and allowed <= count then first = (tenant[4] + 1) * MINUTE end
  end
  set_turn(name, first)
  return count
end

if not repeated() then
  local turns = redis.call('ZRANGEBYSCORE', TURNS, '-inf', int(now), 'LIMIT', 0, limit)
  local left = limit
  for i, name in ipairs(turns) do
    left = left - serve(name, math.ceil(left / (#turns - i + 1)))
  end
  if #taken > 0 then
    redis.call('HSET', KEYS[1], 'fence', int(from + #taken - 1))
    redis.call('SET', KEYS[9], join(request, int(from), cjson.encode(taken)), 'PX', int(hold * 2))
  end
end

local next_turn = redis.call('ZRANGE', TURNS, 0, 0, 'WITHSCORES')[2]
return cjson.encode({epoch, int(now), next_turn and int(tonumber(next_turn)) or '',
                     #claims > 0 and claims or '', unpack(unreadable)})

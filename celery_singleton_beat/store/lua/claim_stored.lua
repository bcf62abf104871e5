-- claim_stored: take due stored entries, tenant by tenant.
-- Twins: protocol/tenant.allowance, tenant.spend, claim.take; MemoryTimetable.claim_stored.
-- KEYS 9 took
-- ARGV 6 request id, 7 limit, 8 hold ms, 9 default max per minute
-- Answer: {epoch, now, next ms or '', how many were found again, claims ('' for none): {entry,
--   slot, card, resumed ms, entry …}, tenants whose index is something foreign ('' for none), then
--   unreadable entries …}
local MOST, PAGE = 1000, 200
local request, limit, hold, per_minute = ARGV[6], math.min(tonumber(ARGV[7]), MOST),
  tonumber(ARGV[8]), tonumber(ARGV[9])
local system = redis.call('HMGET', KEYS[1], 'paused', 'resumed')
if system[1] == '1' then return cjson.encode({epoch, int(now), '', 0, '', ''}) end
local resumed = whole(system[2]) or 0
local claims, unreadable, foreign, taken = {}, {}, {}, {}
local from = next_fence()

local function give(entry, slot, text, card, card_text_)
  local since = math.max(resumed, tenant_of(card[6])[3], card[3])
  for _, item in ipairs({entry, text, card_text_, int(since)}) do claims[#claims + 1] = item end
end

-- The same request once more: what it took and still holds, unless it was stopped meanwhile.
local function repeated()
  -- What is foreign here is overwritten by what is claimed next.
  local last = split(redis.pcall('GET', KEYS[9]), 3)
  if not last or last[1] ~= request then return false end
  local first, names = tonumber(last[2]), cjson.decode(last[3])
  local slots = redis.call('HMGET', STORED, unpack(names))
  local cards = redis.call('HMGET', CARDS, unpack(names))
  for i, entry in ipairs(names) do
    local slot, card = read_slot(slots[i]), read_card(cards[i])
    local is_ours = slot and slot[4] > 0 and slot[3] >= first and slot[3] < first + #names
    local is_on = card and card[4] == 1 and card[5] == 0 and tenant_of(card[6])[2] == 0
    if is_on and is_ours then give(entry, slot, slots[i], card, cards[i]) end
  end
  return true
end

local function set_aside(entry, text)
  unreadable[#unreadable + 1] = entry
  if text then redis.call('HSET', ASIDE, entry, text) end
  redis.call('HDEL', CARDS, entry)
  redis.call('HDEL', STORED, entry)
end

local function leave_index(name, entry)
  index_of_tenant(name, 'ZREM', entry)
  tenant_of(name)[1] = tenant_of(name)[1] - 1
  save_tenant(name)
  touched[name] = true
end

-- What is in a tenant's index and not to be claimed; tell whether that is so.
local function is_amiss(name, entry, card, card_text_, text)
  if not card then
    set_aside(entry, card_text_)
    leave_index(name, entry)
    return true
  end
  local slot, is_fresh = slot_of(entry, text)
  if is_fresh then unreadable[#unreadable + 1] = entry end
  if card[6] ~= name then index_of_tenant(name, 'ZREM', entry) end
  local is_off = card[4] == 0 or card[5] == 1 or slot[4] > now
  if is_off or is_fresh or card[6] ~= name then
    look_at(entry, card, slot)
    return true
  end
end

local function take(name, share)
  local entries = index_of_tenant(name, 'ZRANGEBYSCORE', '-inf', int(now), 'LIMIT', 0, share)
  if not entries then foreign[#foreign + 1] = name end
  if not entries or #entries == 0 then return 0 end
  local slots = redis.call('HMGET', STORED, unpack(entries))
  local cards = redis.call('HMGET', CARDS, unpack(entries))
  local records, scores, count = {}, {}, 0
  for i, entry in ipairs(entries) do
    local slot, card = read_slot(slots[i]), read_card(cards[i])
    if not is_amiss(name, entry, card, cards[i], slots[i]) then
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
    index_of_tenant(name, 'ZADD', unpack(scores))
  end
  return count
end

local function serve(name, share)
  local tenant = tenant_of(name)
  local allowed = allowance(tenant, name, per_minute)
  if allowed then share = math.min(share, allowed) end
  local count = share > 0 and take(name, share) or 0
  if allowed and count > 0 then
    tenant[5] = tenant[5] + count
    save_tenant(name)
  end
  if count == 0 then recount(name) end
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

-- Put back what an index has lost.
local found = 0
local function sweep(cursor)
  local page = redis.call('HSCAN', CARDS, cursor, 'COUNT', PAGE)
  for i = 1, #page[2], 2 do
    local entry, card = page[2][i], read_card(page[2][i + 1])
    if not card then
      set_aside(entry, page[2][i + 1])
    else
      if mend(entry, card) then found = found + 1 end
      if card[7] ~= '' then redis.pcall('ZADD', SOURCE .. card[7], 'NX', 0, entry) end
      touched[card[6]] = true
    end
  end
  if page[1] == '0' then redis.call('HDEL', KEYS[1], 'sweep')
  else redis.call('HSET', KEYS[1], 'sweep', page[1]) end
end

if is_torn then start_sweep() end
is_torn = false
local cursor = redis.call('HGET', KEYS[1], 'sweep')
if cursor then sweep(cursor) end
give_turns()

local next_turn = redis.call('ZRANGE', TURNS, 0, 0, 'WITHSCORES')[2] or 'inf'
if redis.call('HGET', KEYS[1], 'sweep') then next_turn = now end
return cjson.encode({epoch, int(now), next_turn ~= 'inf' and int(tonumber(next_turn)) or '', found,
                     #claims > 0 and claims or '', #foreign > 0 and foreign or '',
                     unpack(unreadable)})

-- Timetable: what the scripts of stored entries share.
-- Twins: protocol/stored.py (Card, look_ms, next_revision), protocol/tenant.py (Tenant, turn_ms).
-- KEYS 2 cards, 3 stored, 4 tenants, 5 turns, 6 of (then a tenant: its entries),
--   7 source (then a source: its entries), 8 aside
local CARDS, STORED, TENANTS, TURNS, OF, SOURCE, ASIDE = unpack(KEYS, 2, 8)
expect({}, {STORED, ASIDE})

-- Every tenant with entries is in TENANTS, in TURNS and, with each of them, in its OF; so it
-- shows when one of these is gone, by eviction or by hand. The cards know what was in it: a
-- *sweep* looks through them, some with each claim, and puts back what is missing.
local has_turns = redis.call('ZCARD', TURNS) > 0
local has_tenants = redis.call('HLEN', TENANTS) > 0
local is_torn = redis.call('HLEN', CARDS) > 0 and not (has_turns and has_tenants)
local function start_sweep()
  redis.call('HSET', KEYS[1], 'sweep', '0')
end

-- As `split` and `all_numbers`, in one step for both: there are two of these for each entry.
local CARD = '^1' .. string.rep('|(%-?%d+)', 5) .. string.rep('|([^|]*)', 4) .. '|(.*)$'
local SLOT = '^1' .. string.rep('|(%-?%d+)', 7) .. '|(.*)$'
local function read(pattern, numbers, text)
  if type(text) ~= 'string' then return nil end
  local fields = {string.match(text, pattern)}
  if not fields[1] then return nil end
  for i = 1, numbers do
    local number = tonumber(fields[i])
    if number > LARGEST or number < -LARGEST then return nil end
    fields[i] = number
  end
  return fields
end

-- 1 revision, 2 changed ms, 3 resumed ms, 4 enabled, 5 paused, 6 tenant, 7 source, 8 by, 9 note,
-- 10 definition
local function read_card(text)
  return read(CARD, 5, text)
end

local function card_text(card)
  return join(int(card[1]), int(card[2]), int(card[3]), int(card[4]), int(card[5]),
              unpack(card, 6, 10))
end

-- 1 slot ms, 2 due ms, 3 fence, 4 hold until ms, 5 failures, 6 runs, 7 last ms, 8 rule
local function read_slot(text)
  return read(SLOT, 7, text)
end

local function slot_text(slot)
  return join(int(slot[1]), int(slot[2]), int(slot[3]), int(slot[4]), int(slot[5]),
              int(slot[6]), int(slot[7]), slot[8])
end

-- The slot of an entry that has a card. One that is gone is planned anew, from now on; the text
-- of one that cannot be read is kept.
local function slot_of(entry, text)
  local slot = read_slot(text)
  if slot then return slot end
  if text then redis.call('HSET', ASIDE, entry, text) end
  slot = {-1, now, 0, 0, 0, 0, now, ''}
  redis.call('HSET', STORED, entry, slot_text(slot))
  return slot, true
end

-- 1 entries, 2 paused, 3 resumed ms, 4 minute, 5 used, 6 has its own quota, 7 max entries,
-- 8 min interval ms, 9 max per minute
local tenants, unread, is_known = {}, {}, {}
local function tenant_of(name)
  if not tenants[name] then
    local text = redis.call('HGET', TENANTS, name)
    local tenant = split(text, 9)
    tenant = tenant and all_numbers(tenant, 1, 9)
    if text and not tenant then unread[name] = text end
    is_known[name] = tenant ~= nil
    tenants[name] = tenant or {0, 0, 0, 0, 0, 0, -1, -1, -1}
  end
  return tenants[name]
end

local function save_tenant(name)
  local tenant, texts = tenants[name], {}
  if unread[name] then redis.call('HSET', ASIDE, 'tenant ' .. name, unread[name]) end
  if tenant[1] == 0 and tenant[2] == 0 and tenant[6] == 0 then
    redis.call('HDEL', TENANTS, name)
    for i = 3, 5 do tenant[i] = 0 end
  else
    for i = 1, 9 do texts[i] = int(tenant[i]) end
    redis.call('HSET', TENANTS, name, join(unpack(texts)))
  end
end

-- How much may be claimed of a tenant in this minute, and nil for any number.
local MINUTE = 60000
local function allowance(tenant, name, per_minute)
  local most = tenant[6] == 1 and tenant[9] or name ~= '' and per_minute or -1
  if most < 0 then return nil end
  local minute = math.floor(now / MINUTE)
  if tenant[4] ~= minute then tenant[4], tenant[5] = minute, 0 end
  return math.max(most - tenant[5], 0)
end

-- The index of a tenant. A foreign value under its key is no trouble of other tenants: its own
-- entries wait, and it is looked at again each minute, until that is taken away.
local function index_of_tenant(name, command, ...)
  local found = redis.pcall(command, OF .. name, ...)
  if type(found) ~= 'table' or not found.err then return found end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found.err) end
  return nil, true
end

local function first_look(name)
  local first, is_foreign = index_of_tenant(name, 'ZRANGE', 0, 0, 'WITHSCORES')
  if is_foreign then return now + MINUTE end
  if not first[2] or first[2] == 'inf' then return nil end
  return tonumber(first[2])
end

local function set_turn(name, turn)
  local tenant = tenant_of(name)
  if tenant[1] <= 0 then redis.call('ZREM', TURNS, name)
  else redis.call('ZADD', TURNS, turn and tenant[2] == 0 and int(turn) or '+inf', name) end
end

local touched = {}
local function look_at(entry, card, slot)
  local at = '+inf'
  if card[4] == 1 and card[5] == 0 then
    if slot[4] > 0 then at = int(slot[4]) elseif slot[2] >= 0 then at = int(slot[2]) end
  end
  index_of_tenant(card[6], 'ZADD', at, entry)
  touched[card[6]] = true
end

-- Put an entry back that its tenant's index has lost, or shall never look at though it is to be
-- dispatched; tell whether it was one of these.
local function mend(entry, card)
  local score, is_foreign = index_of_tenant(card[6], 'ZSCORE', entry)
  if is_foreign or (score and (score ~= 'inf' or card[4] ~= 1 or card[5] ~= 0)) then return false end
  local slot = slot_of(entry, redis.call('HGET', STORED, entry))
  if score and slot[4] <= 0 and slot[2] < 0 then return false end
  look_at(entry, card, slot)
  if not score then
    tenant_of(card[6])[1] = tenant_of(card[6])[1] + 1
    save_tenant(card[6])
  end
  return true
end

-- A tenant's own count tells whether its index is whole; the index knows the true one.
local function recount(name)
  local tenant, there = tenant_of(name), index_of_tenant(name, 'ZCARD')
  if not there or tenant[1] == there then return end
  if is_known[name] or not redis.call('HGET', KEYS[1], 'sweep') then start_sweep() end
  tenant[1] = there
  save_tenant(name)
end

local function give_turns()
  if is_torn then start_sweep() end
  for name in pairs(touched) do
    recount(name)
    local first = first_look(name)
    local turn = tonumber(redis.call('ZSCORE', TURNS, name) or '')
    if first and first <= now and turn and first < turn and turn <= now then first = turn end
    set_turn(name, first)
  end
end

-- Like fences: never counted backwards, whatever was forgotten.
local revision = counter(redis.call('HGET', KEYS[1], 'revision'))
local function next_revision()
  revision = math.max(revision + 1, now * 1000)
  return revision
end

-- The revisions are kept, and who waits for something to do looks at once.
local function changed(channel)
  redis.call('HSET', KEYS[1], 'revision', int(revision))
  redis.pcall('PUBLISH', channel, '')
end


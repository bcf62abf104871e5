-- Timetable: what the scripts of stored entries share.
-- Twins: protocol/stored.py (Card, Tenant, look_ms, turn_ms).
-- KEYS 2 cards, 3 stored, 4 tenants, 5 turns, 6 of (then a tenant: its entries),
--   7 source (then a source: its entries), 8 aside
local CARDS, STORED, TENANTS, TURNS, OF, SOURCE, ASIDE = unpack(KEYS, 2, 8)
expect({TURNS}, {CARDS, STORED, TENANTS, ASIDE})

-- 1 revision, 2 changed ms, 3 resumed ms, 4 enabled, 5 paused, 6 tenant, 7 source, 8 by, 9 note,
-- 10 definition
local function read_card(text)
  local card = split(text, 10)
  return card and all_numbers(card, 1, 5)
end

local function card_text(card)
  return join(int(card[1]), int(card[2]), int(card[3]), int(card[4]), int(card[5]),
              unpack(card, 6, 10))
end

-- 1 slot ms, 2 due ms, 3 fence, 4 hold until ms, 5 failures, 6 runs, 7 last ms, 8 rule
local function read_slot(text)
  local slot = split(text, 8)
  return slot and all_numbers(slot, 1, 7)
end

local function slot_text(slot)
  return join(int(slot[1]), int(slot[2]), int(slot[3]), int(slot[4]), int(slot[5]),
              int(slot[6]), int(slot[7]), slot[8])
end

-- 1 entries, 2 paused, 3 resumed ms, 4 minute, 5 used, 6 has its own quota, 7 max entries,
-- 8 min interval ms, 9 max per minute
local tenants = {}
local function tenant_of(name)
  if not tenants[name] then
    local tenant = split(redis.call('HGET', TENANTS, name), 9)
    tenants[name] = tenant and all_numbers(tenant, 1, 9) or {0, 0, 0, 0, 0, 0, -1, -1, -1}
  end
  return tenants[name]
end

local function save_tenant(name)
  local tenant, texts = tenants[name], {}
  if tenant[1] == 0 and tenant[2] == 0 and tenant[6] == 0 then
    redis.call('HDEL', TENANTS, name)
  else
    for i = 1, 9 do texts[i] = int(tenant[i]) end
    redis.call('HSET', TENANTS, name, join(unpack(texts)))
  end
end

local function first_look(name)
  local first = redis.call('ZRANGE', OF .. name, 0, 0, 'WITHSCORES')[2]
  if not first or first == 'inf' then return nil end
  return tonumber(first)
end

local function set_turn(name, turn)
  if turn and tenant_of(name)[2] == 0 then redis.call('ZADD', TURNS, int(turn), name)
  else redis.call('ZREM', TURNS, name) end
end

local touched = {}
local function look_at(entry, card, slot)
  local at = '+inf'
  if card[4] == 1 and card[5] == 0 then
    if slot[4] > 0 then at = int(slot[4]) elseif slot[2] >= 0 then at = int(slot[2]) end
  end
  redis.call('ZADD', OF .. card[6], at, entry)
  touched[card[6]] = true
end

local function give_turns()
  for name in pairs(touched) do
    local first = first_look(name)
    local turn = tonumber(redis.call('ZSCORE', TURNS, name) or '')
    if first and first <= now and turn and first < turn and turn <= now then first = turn end
    set_turn(name, first)
  end
end

local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0')
local function next_revision()
  revision = revision + 1
  return revision
end

-- The revisions are kept, and who waits for something to do looks at once.
local function changed(channel)
  redis.call('HSET', KEYS[1], 'revision', int(revision))
  redis.pcall('PUBLISH', channel, '')
end


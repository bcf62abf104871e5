-- claim: hear of a replica, and take due slots if its configuration governs.
-- Twins: protocol/fleet.report, fleet.governor, claim.take; MemoryStore.claim.
-- KEYS 1 meta, 2 replicas, 3 numbers, 4 due, 5 held, 6 slots, 7 aside, 8 last, 9 awaited,
--   10 crashable, 11 turns, 12 cards, 13 asked, 14 asked:config
-- ARGV 6 replica, 7 digest, 8 info, 9 request id, 10 limit, 11 hold ms, 12 timeout ms
-- Answer: {epoch, now, standing, paused (0/1), resumed ms, when to look at stored entries
--   or '', when to look at requests or '', next ms or '', others hold (0/1), overdue (0/1), claims ('' for none): {entry,
--   record, entry, record …}, then unreadable entries …}
local replica, digest, request = ARGV[6], ARGV[7], ARGV[9]
local MOST = 1000
local limit, hold, timeout = math.min(tonumber(ARGV[10]), MOST), tonumber(ARGV[11]), tonumber(ARGV[12])
local MAX_STEP = 2000
expect({KEYS[4], KEYS[5], KEYS[9], KEYS[10], KEYS[11], KEYS[13], KEYS[14]},
       {KEYS[2], KEYS[3], KEYS[6], KEYS[7], KEYS[12]})

local fleet = redis.call('HMGET', KEYS[1], 'clock', 'reported', 'number', 'governor', 'adopted',
                         'idle', 'paused', 'resumed', 'sweep')
local step = math.min(math.max(now - (whole(fleet[2]) or 0), 0), MAX_STEP)
local time = counter(fleet[1]) + step
local last_number = counter(fleet[3])

local members, gone, alive = {}, {}, {}
local heard = redis.call('HGETALL', KEYS[2])
for i = 1, #heard, 2 do
  local fields = split(heard[i + 1], 4)
  fields = fields and all_numbers(fields, 2, 3)
  if fields and fields[3] <= time and time - fields[3] <= timeout then
    members[heard[i]] = {fields[1], fields[2], fields[3]}
    alive[fields[1]] = true
  else
    gone[#gone + 1] = heard[i]
  end
end
for _, name in ipairs(gone) do redis.call('HDEL', KEYS[2], name) end

local numbers, unused = {}, {}
local known = redis.call('HGETALL', KEYS[3])
for i = 1, #known, 2 do
  local number = counter(known[i + 1])
  if alive[known[i]] and number > 0 then numbers[known[i]] = number
  else unused[#unused + 1] = known[i] end
end
for _, name in ipairs(unused) do redis.call('HDEL', KEYS[3], name) end
if not numbers[digest] then
  last_number = last_number + 1
  numbers[digest] = last_number
  redis.call('HSET', KEYS[3], digest, int(last_number))
end
local first = time
if members[replica] and members[replica][1] == digest then first = members[replica][2] end
members[replica] = {digest, first, time}
redis.call('HSET', KEYS[2], replica, join(digest, int(first), int(time), ARGV[8]))

local function highest(only_settled)
  local best, best_number = false, -1
  for _, member in pairs(members) do
    if not only_settled or member[3] - member[2] >= timeout then
      local number = numbers[member[1]] or 0
      if number > best_number or (number == best_number and member[1] > best) then
        best, best_number = member[1], number
      end
    end
  end
  return best
end
local governor = highest(true) or highest(false)
redis.call('HSET', KEYS[1], 'clock', int(time), 'reported', int(now),
           'number', int(last_number), 'governor', governor)

-- With cards and no turns, and while these are put back, there is something to do at once.
local function stored_ms()
  local turn = redis.call('ZRANGE', KEYS[11], 0, 0, 'WITHSCORES')[2]
  if fleet[9] or (not turn and redis.call('HLEN', KEYS[12]) > 0) then return int(now) end
  return turn and turn ~= 'inf' and int(tonumber(turn)) or ''
end

-- What is asked for of the configuration's entries is for who governs.
local function asked_ms(standing)
  local first = redis.call('ZRANGE', KEYS[13], 0, 0, 'WITHSCORES')[2]
  if standing == 'GOVERNS' then
    local own = redis.call('ZRANGE', KEYS[14], 0, 0, 'WITHSCORES')[2]
    if own and (not first or tonumber(own) < tonumber(first)) then first = own end
  end
  return first and int(tonumber(first)) or ''
end

local function answer(standing, ...)
  return cjson.encode({epoch, int(now), standing, fleet[7] == '1' and 1 or 0,
                       int(whole(fleet[8]) or 0), stored_ms(), asked_ms(standing), ...})
end
if governor ~= digest then return answer('STANDS_BY', '', 0, 0, '') end
if fleet[5] ~= digest then return answer('ADOPTS', '', 0, 0, '') end
if fleet[7] == '1' then return answer('GOVERNS', '', 0, 0, '') end

local unreadable, claims = {}, {}

local function set_aside(name, text)
  if text then
    redis.call('HSET', KEYS[7], name, text)
    redis.call('HDEL', KEYS[6], name)
  end
  unreadable[#unreadable + 1] = name
  redis.call('ZREM', KEYS[4], name)
  redis.call('ZREM', KEYS[5], name)
end

-- The same request once more: what it took and still holds.
local function repeated()
  -- What is foreign here is overwritten by what is claimed next.
  local fields = split(redis.pcall('GET', KEYS[8]), 3)
  if not fields or fields[1] ~= request then return false end
  local from, names = tonumber(fields[2]), cjson.decode(fields[3])
  local texts = redis.call('HMGET', KEYS[6], unpack(names))
  for i, name in ipairs(names) do
    local slot = split(texts[i], 8)
    slot = slot and all_numbers(slot, 1, 7)
    if slot and slot[4] > 0 and slot[3] >= from and slot[3] < from + #names then
      claims[#claims + 1] = name
      claims[#claims + 1] = texts[i]
    end
  end
  return true
end

local function restore_lapsed()
  local names = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', int(now), 'LIMIT', 0, limit)
  if #names == 0 then return end
  local texts = redis.call('HMGET', KEYS[6], unpack(names))
  for i, name in ipairs(names) do
    local slot = split(texts[i], 8)
    slot = slot and all_numbers(slot, 1, 7)
    if slot then
      redis.call('ZREM', KEYS[5], name)
      redis.call('ZADD', KEYS[4], int(slot[2]), name)
    else
      set_aside(name, texts[i])
    end
  end
end

local function take()
  local names = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', int(now), 'LIMIT', 0, limit)
  if #names == 0 then return end
  local texts = redis.call('HMGET', KEYS[6], unpack(names))
  local until_text, from = int(now + hold), next_fence()
  local taken, scores, records = {}, {}, {}
  for i, name in ipairs(names) do
    local slot = split(texts[i], 8)
    if slot and all_numbers({unpack(slot)}, 1, 7) then
      local text = join(slot[1], slot[2], int(from + #taken), until_text,
                        slot[5], slot[6], slot[7], slot[8])
      taken[#taken + 1] = name
      scores[#scores + 1] = until_text
      scores[#scores + 1] = name
      records[#records + 1] = name
      records[#records + 1] = text
    else
      set_aside(name, texts[i])
    end
  end
  if #taken == 0 then return end
  claims = records
  redis.call('HSET', KEYS[6], unpack(records))
  redis.call('ZREM', KEYS[4], unpack(taken))
  redis.call('ZADD', KEYS[5], unpack(scores))
  redis.call('HSET', KEYS[1], 'fence', int(from + #taken - 1))
  redis.call('SET', KEYS[8], join(request, int(from), cjson.encode(taken)), 'PX', int(hold * 2))
end

-- What an index has lost, by eviction or by hand, the slots know. `idle` is how many slots were
-- in no index when that was last seen to: those whose rule has ended, or that nobody knows.
local function rebuild()
  local function idle()
    return int(redis.call('HLEN', KEYS[6]) - redis.call('ZCARD', KEYS[4]) - redis.call('ZCARD', KEYS[5]))
  end
  if idle() == (fleet[6] or '0') then return end
  local all = redis.call('HGETALL', KEYS[6])
  for i = 1, #all, 2 do
    local slot = split(all[i + 1], 8)
    slot = slot and all_numbers(slot, 1, 7)
    if slot and slot[2] >= 0 and not redis.call('ZSCORE', KEYS[4], all[i])
        and not redis.call('ZSCORE', KEYS[5], all[i]) then
      if slot[4] > now then redis.call('ZADD', KEYS[5], int(slot[4]), all[i])
      else redis.call('ZADD', KEYS[4], int(slot[2]), all[i]) end
    end
  end
  redis.call('HSET', KEYS[1], 'idle', idle())
end

rebuild()
if not repeated() then
  restore_lapsed()
  take()
end

local next_due = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
local next_held = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2]
local next_ms = ''
if next_due and next_held then next_ms = int(math.min(tonumber(next_due), tonumber(next_held)))
elseif next_due or next_held then next_ms = int(tonumber(next_due or next_held)) end
local others = redis.call('ZCARD', KEYS[5]) > #claims / 2 and 1 or 0

-- An empty table would be written as an object.
local told = #claims > 0 and claims or ''
local overdue = #redis.call('ZRANGEBYSCORE', KEYS[9], '-inf', int(now), 'LIMIT', 0, 1)
if overdue == 0 then
  overdue = #redis.call('ZRANGEBYSCORE', KEYS[10], '-inf', int(now), 'LIMIT', 0, 1)
end
return answer('GOVERNS', next_ms, others, overdue, told, unpack(unreadable))

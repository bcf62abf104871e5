-- Prelude: what every script needs before its own transition; put in front of each.
-- Twins: protocol/codec.py (split, join), protocol/epoch.py (recognise).
-- ARGV[1] is all arguments in one text, a JSON array of texts: one costs less to send than
-- many. Below and in the scripts ARGV is that array. Every answer is a JSON array too.
-- KEYS[1] meta. ARGV[1] now ms ('' = ask the server), [2] app, [3] schema,
-- [4] epoch that the caller remembers ('' = none), [5] a fresh name for a new one.
local ARGV = cjson.decode(ARGV[1])

-- Integers only, written with %.0f: tostring of a large number is not the number. What is beyond
-- those that Lua can count was not written by us, and is no number to whoever is answered.
local LARGEST = 9007199254740991
local function int(number)
  return string.format('%.0f', math.max(math.min(LARGEST, number), -LARGEST))
end

-- Whole numbers only: Lua reads '0x1' and '1e3' too, and whoever is answered them does not.
local function whole(text)
  if type(text) ~= 'string' or not string.find(text, '^%-?%d+$') then return nil end
  local number = tonumber(text)
  return number >= -LARGEST and number <= LARGEST and number or nil
end

local function join(...)
  return '1|' .. table.concat({...}, '|')
end

-- A record as its fields, or nil if it is not a record of `count` fields.
local function split(text, count)
  if type(text) ~= 'string' or string.sub(text, 1, 2) ~= '1|' then return nil end
  local fields, from = {}, 3
  for i = 1, count - 1 do
    local at = string.find(text, '|', from, true)
    if not at then return nil end
    fields[i] = string.sub(text, from, at - 1)
    from = at + 1
  end
  fields[count] = string.sub(text, from)
  return fields
end

local function all_numbers(fields, first, last)
  for i = first, last do
    fields[i] = whole(fields[i])
    if not fields[i] then return nil end
  end
  return fields
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local meta = redis.call('HMGET', KEYS[1], 'app', 'schema', 'epoch', 'born', 'reborn', 'fence')
if not meta[3] then
  meta = {ARGV[2], ARGV[3], ARGV[5], int(now), ARGV[4] ~= '' and '1' or '0', meta[6] or '0'}
  redis.call('HSET', KEYS[1], 'app', meta[1], 'schema', meta[2], 'epoch', meta[3],
             'born', meta[4], 'reborn', meta[5])
elseif meta[1] and meta[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN ' .. meta[1])
elseif meta[2] and (whole(meta[2]) or LARGEST) > tonumber(ARGV[3]) then
  return redis.error_reply('TOONEW ' .. meta[2])
elseif ARGV[4] ~= '' and ARGV[4] ~= meta[3] and meta[5] ~= '1' then
  meta[5] = '1'
  redis.call('HSET', KEYS[1], 'reborn', '1')
end
local epoch = meta[3]
if not meta[1] or not meta[2] then
  redis.call('HSET', KEYS[1], 'app', ARGV[2], 'schema', ARGV[3])
end
meta[4] = int(whole(meta[4]) or 0)

-- A counter of ours: the microseconds of its last step, or a little more. Whatever says that it
-- comes from the next century says nothing.
local function counter(text)
  local number = whole(text)
  return number and number >= 0 and number < 2 ^ 52 and number or 0
end
local fence = counter(meta[6])

-- A foreign value under one of our keys must fail a script before its first write.
local function expect(zsets, hashes)
  for _, key in ipairs(zsets) do redis.call('ZCARD', key) end
  for _, key in ipairs(hashes) do redis.call('HLEN', key) end
end

-- Facts (protocol/history.py) and figures (protocol/statistics.py). No promise rests on them:
-- where they cannot be written, the step that they tell of is finished all the same.
-- `key` is that of the history; `limits` says how many facts are kept, how many of one entry,
-- and how many entries and lock keys are counted: '10000 100 10000', 0 for none.

-- The bucket of a duration: four to an octave.
local function bucket(duration)
  local octave, rest = 0, math.max(duration, 0)
  while rest >= 8 do octave, rest = octave + 1, math.floor(rest / 2) end
  return int(4 * octave + rest)
end

-- Count `fields`, {name, by how much, …}, of all there is, of an entry and of a lock key, and
-- unless it `goes_on` with something counted a moment before, note that something happened to them.
local function count(key, limits, entry, lock_name, fields, goes_on)
  local most = tonumber(string.match(limits, '%d+$'))
  if most == 0 then return end
  local subjects, moments = {''}, {}
  if entry ~= '' then subjects[2] = 'e:' .. entry end
  if lock_name ~= '' then subjects[#subjects + 1] = 'k:' .. lock_name end
  for i, subject in ipairs(subjects) do
    local counts = key .. ':counts:' .. subject
    for at = 1, #fields, 2 do redis.pcall('HINCRBY', counts, fields[at], fields[at + 1]) end
    if i > 1 then
      moments[2 * i - 3], moments[2 * i - 2] = int(now), subject
    end
  end
  if goes_on or #moments == 0 then return end
  local added = redis.pcall('ZADD', key .. ':counted', unpack(moments))
  if type(added) ~= 'number' or added == 0 then return end
  local beyond = redis.call('ZCARD', key .. ':counted') - most
  if beyond <= 0 then return end
  for _, oldest in ipairs(redis.call('ZRANGE', key .. ':counted', 0, beyond - 1)) do
    redis.call('ZREM', key .. ':counted', oldest)
    redis.call('DEL', key .. ':counts:' .. oldest, key .. ':of:' .. oldest)
  end
end

local ENDED = {succeeded = true, failed = true, retrying = true, interrupted = true}

local function figures_of(kind, scheduled, about)
  if kind == 'superseded' then
    local by, many = string.match(about, '^[^|]*|([^|]*)|(%d+)$')
    return {'superseded:' .. (string.match(by or '', '^%a+$') or 'late'), many or 1}
  elseif kind == 'published' and about == '' then
    local lag = math.max(now - tonumber(scheduled), 0)
    return {'published@' .. bucket(lag), 1, 'sum:lag', int(lag)}
  elseif ENDED[kind] and about ~= '' then
    return {kind .. '@' .. bucket(tonumber(about)), 1, 'sum:ran', about}
  end
  return {kind, 1}
end

local function tell(key, limits, kind, entry, scheduled, run, attempt, by, about, lock_name)
  local facts, own = string.match(limits, '^(%d+) (%d+)')
  if facts ~= '0' then
    local fact = cjson.encode({int(now), kind, entry, scheduled, run, attempt, by, about})
    redis.pcall('XADD', key, 'MAXLEN', '~', facts, '*', 'f', fact)
    if entry ~= '' and own ~= '0' then
      redis.pcall('XADD', key .. ':of:e:' .. entry, 'MAXLEN', '=', own, '*', 'f', fact)
    end
  end
  count(key, limits, entry, lock_name or '', figures_of(kind, scheduled, about), ENDED[kind])
end

local function next_fence()
  return math.max(fence + 1, now * 1000)
end

-- Prelude: what every script needs before its own transition; put in front of each.
-- Twins: protocol/codec.py (split, join), protocol/epoch.py (recognise).
-- ARGV[1] is all arguments in one text, a JSON array of texts: one costs less to send than
-- many. Below and in the scripts ARGV is that array. Every answer is a JSON array too.
-- KEYS[1] meta. ARGV[1] now ms ('' = ask the server), [2] app, [3] schema,
-- [4] epoch that the caller remembers ('' = none), [5] a fresh name for a new one.
local ARGV = cjson.decode(ARGV[1])

-- Integers only, written with %.0f: tostring of a large number is not the number.
local function int(number)
  return string.format('%.0f', number)
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

-- Whole numbers only: Lua reads '0x1' and '1e3' too, and whoever is answered them does not.
local function all_numbers(fields, first, last)
  for i = first, last do
    if not string.find(fields[i], '^%-?%d+$') then return nil end
    fields[i] = tonumber(fields[i])
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
elseif meta[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN ' .. meta[1])
elseif tonumber(meta[2]) > tonumber(ARGV[3]) then
  return redis.error_reply('TOONEW ' .. meta[2])
elseif ARGV[4] ~= '' and ARGV[4] ~= meta[3] and meta[5] ~= '1' then
  meta[5] = '1'
  redis.call('HSET', KEYS[1], 'reborn', '1')
end
local epoch = meta[3]
local fence = tonumber(meta[6]) or 0

-- A foreign value under one of our keys must fail a script before its first write.
local function expect(zsets, hashes)
  for _, key in ipairs(zsets) do redis.call('ZCARD', key) end
  for _, key in ipairs(hashes) do redis.call('HLEN', key) end
end

-- A fact for the history (protocol/history.py), unless its limit is 0. No promise rests on
-- one: where it cannot be written, the step that it tells of is finished all the same.
local function tell(key, limit, kind, entry, scheduled, run, attempt, by, note)
  if limit == '0' then return end
  local fact = cjson.encode({int(now), kind, entry, scheduled, run, attempt, by, note})
  redis.pcall('XADD', key, 'MAXLEN', '~', limit, '*', 'f', fact)
end

local function next_fence()
  return math.max(fence + 1, now * 1000)
end

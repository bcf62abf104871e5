-- Asking: what the scripts of requests share.
-- Twin: protocol/asked.py (Ask).
-- KEYS 9 asked, 10 asked:config, 11 asks, 12 asked_slots, 13 asked_over, 14 asked_of (then an
--   entry: its requests), 15 slots, 16 history
local ASKED, ASKED_CONFIG, ASKS, ASKED_SLOTS, ASKED_OVER, ASKED_OF, CONFIG_SLOTS, ASK_HISTORY =
  unpack(KEYS, 9, 16)
expect({ASKED, ASKED_CONFIG, ASKED_OVER}, {ASKS, ASKED_SLOTS})
local ASK_KEPT = 86400000

-- 1 backfill (0/1), 2 of the configuration (0/1), 3 from ms, 4 until ms, 5 asked ms, 6 total,
-- 7 most, 8 step, 9 by, 10 entry
local function read_ask(text)
  local ask = split(text, 10)
  return ask and all_numbers(ask, 1, 8)
end

local function index_of(ask)
  return ask[2] == 1 and ASKED_CONFIG or ASKED
end

-- Nothing of a request that is over is looked at again; that it was there is known for a day.
local function close(request, ask)
  redis.call('ZREM', index_of(ask), request)
  redis.pcall('ZREM', ASKED_OF .. ask[10], request)
  redis.call('ZADD', ASKED_OVER, int(now + ASK_KEPT), request)
end

local function drop(request, ask, kind, by, limit)
  redis.call('HDEL', ASKED_SLOTS, request)
  close(request, ask)
  tell(ASK_HISTORY, limit, kind, ask[10], int(ask[3]), '', '0', by, request)
end

local function drop_all_of(entry, limit)
  for _, request in ipairs(redis.pcall('ZRANGE', ASKED_OF .. entry, 0, -1)) do
    local ask = read_ask(redis.call('HGET', ASKS, request))
    if ask and ask[2] == 0 then drop(request, ask, 'dropped', '', limit) end
  end
end


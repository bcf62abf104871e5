-- discard: close the record of a run whose message will not be executed.
-- Twin: protocol/lease.discard, driven by MemoryRuns.discard.
-- KEYS 1 meta, 2 locks, 3 awaited, 4 published, 5 progress, 6 history, 7 crashable,
--   8 messages, 9 run, 10 lock
-- ARGV 6-17 the attempt (lease), 18 awaited (0/1), 19 history limits, 20 reason
-- Answer: {epoch}
local attempt, window, not_after = tonumber(ARGV[7]), tonumber(ARGV[10]), tonumber(ARGV[11])
if ARGV[18] == '1' then arrived(KEYS[3], KEYS[4], KEYS[5], ARGV[13], ARGV[14], ARGV[15]) end

-- In a store that forgot, those who live come back first.
local waits = meta[5] == '1' and tonumber(meta[4]) + tonumber(ARGV[9]) > now
local run = read_run(KEYS[9])

local function is_alive()
  return run[1] == 'open' and run[5] > 0 and notice_left(run, 5, 9, function() write_run(KEYS[9], run) end) > 0
end

if not waits and (not run or (run[1] ~= 'done' and attempt >= run[2] and not is_alive())) then
  if run then
    let_go(KEYS[10], KEYS[2], ARGV[6], run[3], 'discarded', tonumber(ARGV[16]), 0)
  end
  write_run(KEYS[9], {'done', attempt, ARGV[8], 0, 0, kept_after(not_after, window),
                      run and run[7] or 0, 'discarded', 0})
  tell(KEYS[6], ARGV[19], 'discarded', ARGV[14], ARGV[15], ARGV[13], ARGV[7], ARGV[12], ARGV[20],
       ARGV[6])
  redis.call('ZREM', KEYS[7], ARGV[13])
  redis.call('HDEL', KEYS[8], ARGV[13])
end
return cjson.encode({epoch})

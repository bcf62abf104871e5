-- finish: record how attempts ended, and free their keys; only their holders may.
-- Twin: protocol/lease.finish.
-- KEYS 1 meta, 2 locks, then per ending: run, lock
-- ARGV 6 count, then per ending: lock key's name, attempt, holder, window ms,
--   not after ms, outcome, wait ms
-- Answer: {epoch, verdict …}
local answer = {epoch}
for i = 1, tonumber(ARGV[6]) do
  local at, run_key, lock_key = 7 * i, KEYS[2 * i + 1], KEYS[2 * i + 2]
  local attempt, holder = tonumber(ARGV[at + 1]), ARGV[at + 2]
  local window, not_after = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local outcome, wait = ARGV[at + 5], tonumber(ARGV[at + 6])
  free(lock_key, KEYS[2], ARGV[at], holder)
  local run = read_run(run_key)
  local verdict = 'RECORDED'
  if not run or run[3] ~= holder then
    verdict = 'LOST'
  elseif run[1] ~= 'done' then
    run[5], run[8] = 0, outcome
    if outcome == 'retrying' then
      run[1], run[2] = 'waiting', attempt + 1
      run[6] = math.max(not_after, now + wait + window)
    elseif outcome == 'interrupted' then
      run[1], run[2] = 'open', attempt
    else
      run[1], run[6] = 'done', kept_after(not_after, window)
    end
    write_run(run_key, run)
  end
  answer[#answer + 1] = verdict
end
return cjson.encode(answer)

-- open_requests: list what is asked for and not over, page by page.
-- Twin: MemoryAsked.open_requests.
-- ARGV 6 whether of the configuration (0/1), 7 cursor, 8 how many or so
-- Answer: {epoch, next cursor ('0': that is all), request, ask, slot, request …}
local page = redis.call('ZSCAN', ARGV[6] == '1' and ASKED_CONFIG or ASKED, ARGV[7],
                        'COUNT', ARGV[8])
local answer = {epoch, page[1]}
for i = 1, #page[2], 2 do
  local request = page[2][i]
  local ask, slot = redis.call('HGET', ASKS, request), redis.call('HGET', ASKED_SLOTS, request)
  if read_ask(ask) and read_slot(slot) then
    for _, item in ipairs({request, ask, slot}) do answer[#answer + 1] = item end
  end
end
return cjson.encode(answer)

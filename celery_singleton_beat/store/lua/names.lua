-- names: list entries or tenants, page by page.
-- ARGV 6 what: 'entries', 'of' (a tenant) or 'tenants', 7 tenant, 8 cursor, 9 how many or so
-- Answer: {epoch, next cursor ('0': that is all), name …}
local page
if ARGV[6] == 'entries' then page = redis.call('HSCAN', CARDS, ARGV[8], 'COUNT', ARGV[9])
elseif ARGV[6] == 'of' then page = redis.call('ZSCAN', OF .. ARGV[7], ARGV[8], 'COUNT', ARGV[9])
else page = redis.call('HSCAN', TENANTS, ARGV[8], 'COUNT', ARGV[9]) end
local answer = {epoch, page[1]}
for i = 1, #page[2], 2 do answer[#answer + 1] = page[2][i] end
return cjson.encode(answer)

-- Appends an entry, unless one with its id was appended. Trims the stream.
local stream, notes, known = KEYS[1], KEYS[2], KEYS[3]
local new, remember, max_entries = ARGV[1], ARGV[2], tonumber(ARGV[3])
local age, bytes, weight = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local FIELDS = 7
-- Of the number of an id, and of its milliseconds.
local MOST, LATEST = 65535, 281474976710655
-- So many bytes of entries apart, ids are noted for trimming by bytes.
local STEP = 1048576

local epoch = epoch_of(stream, new)
local seen = redis.call('GET', known)
if seen then
  local of, id = string.match(seen, '^(%x+) (.+)$')
  if of == epoch then
    return { epoch, id }
  end
end

local noted = redis.call('HMGET', notes, 'epoch', 'last', 'count', 'bytes')
local last, count, total = noted[2], tonumber(noted[3]), tonumber(noted[4])
if noted[1] ~= epoch then
  redis.call('DEL', notes)
  last = by_name(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
  count, total = 0, 0
end
count = count + 1

local function add()
  local command = { 'XADD', stream }
  if max_entries > 0 then
    command[3], command[4], command[5] = 'MAXLEN', '~', ARGV[3]
  end
  for _, word in ipairs({ '*', 'b', last, 'n', string.format('%.0f', count) }) do
    command[#command + 1] = word
  end
  for i = FIELDS, #ARGV do
    command[#command + 1] = ARGV[i]
  end
  local id = redis.call(unpack(command))
  local millis, number = string.match(id, '^(%d+)-(%d+)$')
  return id, tonumber(millis), tonumber(number)
end

local id, millis, number = add()
-- The ids go on in the next millisecond when the numbers of one are used up, as happens when the
-- clock was set back and the stream stays in the last millisecond that it knew. Not before: readers
-- would miss an entry of the last id.
if number > MOST and millis < LATEST then
  redis.call('XDEL', stream, id)
  redis.call('XSETID', stream, string.format('%.0f', millis + 1) .. '-0')
  id, millis, number = add()
end
if millis > LATEST then
  redis.call('XDEL', stream, id)
  return redis.error_reply('LONGPOLLID ' .. id)
end

local before = total
total = total + weight
redis.call('HSET', notes, 'epoch', epoch, 'last', id, 'count', string.format('%.0f', count),
  'bytes', string.format('%.0f', total))
redis.call('SET', known, epoch .. ' ' .. id, 'EX', remember)

-- All that is older than a mark that lies further back than the bytes to keep.
local kept = math.ceil(bytes / STEP) + 1
for mark = math.floor(before / STEP) + 1, math.floor(total / STEP) do
  redis.call('HSET', notes, string.format('mark:%.0f', mark), id)
  local passed = string.format('mark:%.0f', mark - kept)
  local oldest = redis.call('HGET', notes, passed)
  if oldest then
    redis.call('XTRIM', stream, 'MINID', '~', oldest)
    redis.call('HDEL', notes, passed)
  end
end

local time = redis.call('TIME')
local cutoff = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - age
if cutoff > 0 then
  redis.call('XTRIM', stream, 'MINID', '~', string.format('%.0f', cutoff))
end
return { epoch, id }

-- How the stream stands; makes it if there is none. The floor is that of an opened log.
local stream = KEYS[1]
local new, read = ARGV[1], ARGV[2]

local epoch, start = epoch_of(stream, new)
local info = by_name(redis.call('XINFO', 'STREAM', stream))
if not info['entries-added'] then
  return redis.error_reply('LONGPOLLVERSION this is an older version')
end

local last = info['last-generated-id']
local first = redis.call('XRANGE', stream, '(' .. start, '+', 'COUNT', 1)[1]
local floor, before = last, '0'
if first then
  -- Each entry names the one that was appended before it.
  floor = by_name(first[2])['b']
  if not floor then
    -- It is a foreign one: nobody knows what was right before it, if anything was.
    floor = start
    if info['entries-added'] ~= info['length'] then
      floor, before = first[1], '1'
    end
  end
end
local more = #redis.call('XRANGE', stream, '(' .. read, '+', 'COUNT', 1)
return { epoch, last, floor, before, tostring(more), tostring(info['length']) }

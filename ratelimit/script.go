package ratelimit

import "github.com/redis/go-redis/v9"

// leaseScript takes in what answers have said and gives out permits. Times are
// in ms of Redis' clock, with fractions.
//
// A window is known by its label, the X-RateLimit-Reset of the answers in it.
// off is what has to be taken from a label, in ms, to get the time at which its
// window ends: it is known to lie between two bounds.
//
//	KEYS[1] the budget
//	KEYS[2] this process' last call, by which a repeat is recognised
//	ARGV[1] token of the call
//	ARGV[2] expected length of a window, ms
//	ARGV[3] share of the limit that may be spent
//	ARGV[4] part of that by which urgent requests may run ahead
//	ARGV[5..7] permits wanted: urgent, normal, and on stock
//	ARGV[8] how long ago, at the most, the ages below were taken, ms
//	ARGV[9], ARGV[10] by the Date headers: latest lower and earliest upper bound
//	        of off + now, ms, or empty
//	ARGV[11] 1 if an answer of 2xx had no rate limit, else 0
//	ARGV[12] 1 if an answer of 429 had none, else 0
//	ARGV[13] how many of these follow: number of a window, permits answered in
//	        it, permits given back
//	then    for each window that answers spoke of, in ascending order: label,
//	        limit, least remaining, age of the last one's sending, age of the
//	        first one's arrival, 1 if one was 429
//
// Result, as text: permits given {urgent, normal, on stock}, number of their
// window, ms until the stock is void, ms until it is worth while to ask again,
// limit (-1 unknown, 0 none), what is left of the window.
//
// The fields of KEYS[1]: lim the limit, absent while it is unknown, 0 if there
// is none; r label of the window; p 1 while that is a guess; rc last label that
// an answer had; rem least remaining in the window; g permits given in it; o and
// po permits without an answer, of this window and the one before; n number of
// the window; c permits that the spreading has set free; t when that was; lo, hi
// bounds of off by the labels; dlo, dhi by Date; bt when they were; x when the
// gate opens again.
var leaseScript = redis.NewScript(`
local last = redis.call('HMGET', KEYS[2], 'token', 'answer')
if last[1] == ARGV[1] then return cjson.decode(last[2]) end

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local names = {'lim', 'r', 'p', 'rc', 'rem', 'g', 'o', 'po', 'n', 'c', 't', 'lo', 'hi', 'dlo', 'dhi', 'bt', 'x'}
local stored = redis.call('HMGET', KEYS[1], unpack(names))
local s = {}
for i, name in ipairs(names) do s[name] = stored[i] and tonumber(stored[i]) end
for _, name in ipairs({'g', 'o', 'po', 'n', 'x'}) do s[name] = s[name] or 0 end
s.c, s.t = s.c or 1, s.t or now

local window, share, ahead = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local urgent, normal, stock = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local slack = tonumber(ARGV[8])
local sane = 60000 -- How far off a label may be that is believed.
local guard = math.min(150, window / 20) -- A window is spent that long before its end: requests take time.

-- The bounds become wider with time, as clocks drift.
local drift = math.max(0, now - (s.bt or now)) * 0.0001
for _, name in ipairs({'lo', 'dlo'}) do if s[name] then s[name] = s[name] - drift end end
for _, name in ipairs({'hi', 'dhi'}) do if s[name] then s[name] = s[name] + drift end end
s.bt = now
local function narrow(lo, hi, newlo, newhi)
  if newlo and (not s[lo] or newlo > s[lo]) then s[lo] = newlo end
  if newhi and (not s[hi] or newhi < s[hi]) then s[hi] = newhi end
  -- A clock was set, or a window was cut short: the latest counts.
  if s[lo] and s[hi] and s[lo] > s[hi] then s[lo], s[hi] = newlo, newhi end
end
-- bounds prefers what labels say where that is precise, as windows may end up to
-- a second off their labels, which are whole seconds.
local function bounds()
  local near = not s.dlo or not s.dhi or (s.lo and s.hi and s.lo <= s.dhi + 1000 and s.hi >= s.dlo - 1000)
  if s.lo and s.hi and s.hi - s.lo <= 1000 and near then return s.lo, s.hi end
  local lo, hi = s.dlo or (s.dhi and s.dhi - 1000) or -1000, s.dhi or (s.dlo and s.dlo + 1000) or 1000
  local a, b = math.max(lo, s.lo or lo), math.min(hi, s.hi or hi)
  if a > b then return lo, hi end
  return a, b
end
local function early(label) local _, hi = bounds() return label * 1000 - hi end
local function late(label) local lo = bounds() return label * 1000 - lo end

-- roll begins a window, k after the one before.
local function roll(label, k, at)
  s.po = k == 1 and s.o or 0
  s.o, s.g, s.rem, s.n, s.r = 0, s.po, nil, s.n + 1, label
  s.c, s.t = math.max(s.c, 0), math.max(s.t, at)
end
local function shut(untilTime) s.x = math.max(s.x, math.min(untilTime, now + sane)) end

narrow('dlo', 'dhi', ARGV[9] ~= '' and ARGV[9] - now or nil, ARGV[10] ~= '' and ARGV[10] + slack - now or nil)

local windows = tonumber(ARGV[13])
for i = 14 + 3 * windows, #ARGV, 6 do
  local label, limit, remaining = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local first = not s.rc or label > s.rc or label < s.rc - sane / 1000
  if math.abs(early(label) - now) > sane + window then
    if ARGV[i + 5] == '1' then shut(now + window) end
  else
    narrow('lo', 'hi', first and s.rc and s.rc * 1000 - now + ARGV[i + 4] or nil,
      label * 1000 - now + ARGV[i + 3] + slack)
    if first then
      -- A limit that becomes known counts from now on.
      if s.r and s.p ~= 1 then roll(label, 1, now) end
      s.r, s.p, s.rc, s.lim, s.rem = label, 0, label, limit, remaining
    elseif label == s.r and s.p == 0 then
      s.lim, s.rem = limit, math.min(s.rem or remaining, remaining)
    end
    if ARGV[i + 5] == '1' then
      if label == s.r and s.p == 0 then s.rem = 0 end
      -- After a refusal the later of the two counts.
      shut(math.max(late(label), label * 1000 - (s.dlo or math.huge), now + 500))
    end
  end
end
if ARGV[11] == '1' and not s.lim then s.lim = 0 end
if ARGV[12] == '1' then shut(now + window) end

-- Where no answer has said so, time tells that a window is over.
if s.r then
  local over = late(s.r)
  if now >= over then
    local k = math.floor((now - over) / window) + 1
    roll(s.r + k * window / 1000, k, over + (k - 1) * window)
    s.p = 1
  end
end

for i = 14, 13 + 3 * windows, 3 do
  local n, answered, back = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if n == s.n then
    s.o, s.g, s.c = s.o - answered - back, s.g - back, s.c + back
  elseif n == s.n - 1 then
    s.po = s.po - answered - back
  end
end
s.o, s.po, s.g = math.max(s.o, 0), math.max(s.po, 0), math.max(s.g, 0)

-- left is what may still be sent in the window, and s.c what of it is free by now.
local left, reserve, kept, fin, void, again = math.huge, 0, 0, 0, window, 0
local elapsed = math.max(0, now - s.t)
if not s.lim then
  -- Before the first answer one request a second feels the way.
  s.c, left = math.min(1, s.c + elapsed / 1000), 1
elseif s.lim == 0 then
  s.c, void = 1e9, 1000
else
  local budget = math.max(1, math.floor(s.lim * share))
  left = (s.rem or s.lim) - s.o - s.po - math.floor(s.lim * 0.01 + 0.5)
  if share < 1 then left = math.min(left, budget - s.g) end
  left = math.max(left, 0)
  fin, void = early(s.r) - guard, early(s.r) - now
  if now >= fin then
    s.c = left
  else
    s.c = s.c + (left - s.c) * elapsed / math.max(1, fin - now + elapsed)
  end
  s.c = math.min(s.c, left, math.max(1, budget * 1000 / window))
  reserve = math.floor(budget * ahead)
  if ahead > 0 and s.lim >= 10 then reserve = math.max(1, reserve) end
  kept = math.floor(reserve * math.min(1, math.max(0, fin - now) / window))
end
s.t = now

local function give(wanted, free)
  local k = math.max(0, math.min(wanted, math.floor(free + 1e-6), left))
  s.c, left, s.o, s.g = s.c - k, left - k, s.o + k, s.g + k
  return k
end
local wanted = urgent + normal
if now >= s.x then
  urgent = give(urgent, s.c + reserve)
  normal = give(normal, math.min(s.c, left - kept))
  stock = urgent + normal == wanted and give(stock, math.min(s.c, left - kept) / 4) or 0
else
  urgent, normal, stock = 0, 0, 0
end

if now < s.x then
  again = s.x - now
elseif not s.lim then
  again = (1 - s.c) * 1000
elseif urgent + normal < wanted then
  if now >= fin or left - kept < 1 then
    again = late(s.r) - now
  else
    again = (1 - s.c) / (left - s.c) * (fin - now)
  end
end

local set = {}
for _, name in ipairs(names) do
  set[#set + 1] = name
  set[#set + 1] = s[name] and string.format('%.3f', s[name]) or ''
end
redis.call('HSET', KEYS[1], unpack(set))
redis.call('PEXPIRE', KEYS[1], 86400000)
local function int(n) return string.format('%.0f', math.max(-1, math.min(n, 1e9))) end
local answer = {int(urgent), int(normal), int(stock), int(s.n), int(void), int(math.ceil(again)),
  int(s.lim or -1), int(math.floor(left))}
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'answer', cjson.encode(answer))
redis.call('PEXPIRE', KEYS[2], 60000)
return answer
`)

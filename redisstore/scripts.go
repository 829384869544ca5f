package redisstore

import (
	"context"
	"strconv"

	"github.com/redis/rueidis"
)

// A script runs on the server in one step. Its key comes first and its index beside it, if it has both;
// what it reads besides lies in the same slot, for it has the same tag.
//
// The name by which EVALSHA knows a script is part of it here. Nothing is hashed in this process, where FIPS
// mode forbids SHA-1, and no SCRIPT LOAD, for which a user needs a right, precedes the first use:
// EVAL teaches a server that does not know it.
//
// Each script first does what may be refused: a key of another type or a full server ends it before it
// has changed anything. A full server refuses only the first write of a script, and only one that takes
// memory.
type script struct{ sha, text string }

// sweep bounds the ids in an index whose sessions have expired: each Update looks at sweep places of it, the
// next ones in turn. In a steady state one session expires per Update, so of n living ones at most n/3 more are
// listed. 2 would bound them by n.
const sweep = 4

// scriptPage is how many sessions a script works on at most, so that it ends in well under a millisecond: the
// server does nothing else meanwhile. A reply is bounded by pageBytes, a session more.
const (
	scriptPage = 256
	pageBytes  = 1 << 20
)

// KEYS: session, index. ARGV: id, session, TTL in ms, head. An index outlives its sessions by a second: before
// Redis 7 a script's clock runs. A user without the right to PEXPIRE fails there, before ZADD makes an index that
// nothing ends.
var updateScript = script{"fd0baa35a8f184dc3d7009217a10d642d022ab09", `
local top = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local seq = top and top + 1 or 1
local ttl = tonumber(ARGV[3])
local left = redis.call('PTTL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ttl)
if left < ttl + 1000 then redis.call('PEXPIRE', KEYS[2], ttl + 1000) end
redis.call('ZADD', KEYS[2], seq, ARGV[1])
if left < 0 then redis.call('PEXPIRE', KEYS[2], ttl + 1000) end
local n = redis.call('ZCARD', KEYS[2])
if n > 8 then
  local from = seq * 4 % n
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], from, from + 3)) do
    if redis.call('EXISTS', ARGV[4] .. id) == 0 then redis.call('ZREM', KEYS[2], id) end
  end
end
return 1
`}

// KEYS: session, index. ARGV: id.
var takeScript = script{"7eec0bf818992354fb688694283cb947f7f20b6f", `
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('GETDEL', KEYS[1])
`}

// KEYS: session, index. ARGV: id.
var deleteScript = script{"89a2dad9e3b8a604c4f47861de0e4d869793bbff", `
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
`}

// KEYS: index. ARGV: head, 1 to keep the last, how many to look at. It returns {0}: there is none; {1, id, session,
// ms left}: this one; {2}: there were as many dead ones, and it has dropped them and taken nothing.
var takeNewestScript = script{"4d05150dcc37244128a8a199813e1931952f0923", `
local found
for _ = 1, tonumber(ARGV[3]) do
  local rank = found and 1 or 0
  local id = redis.call('ZREVRANGE', KEYS[1], rank, rank)[1]
  if not id then return found or {0} end
  local key = ARGV[1] .. id
  if found then
    if redis.call('EXISTS', key) == 1 then
      redis.call('DEL', ARGV[1] .. found[2])
      redis.call('ZREM', KEYS[1], found[2])
      return found
    end
    redis.call('ZREM', KEYS[1], id)
  else
    local s = redis.call('GET', key)
    if s then
      found = {1, id, s, redis.call('PTTL', key)}
      if ARGV[2] ~= '1' then
        redis.call('DEL', key)
        redis.call('ZREM', KEYS[1], id)
        return found
      end
    else
      redis.call('ZREM', KEYS[1], id)
    end
  end
end
return {2}
`}

// KEYS: index. ARGV: head, from which score on, how many sessions at most, bytes to stop at, how many to look at. It
// returns from where to go on, empty at the end, and id, session and ms left of each.
var selectScript = script{"8b95c1d55173812e81c68b11df98827977addee9", `
local from, want = ARGV[2], tonumber(ARGV[3])
local out, n, size, seen = {''}, 0, 0, 0
while n < want and size < tonumber(ARGV[4]) and seen < tonumber(ARGV[5]) do
  local ids = redis.call('ZREVRANGEBYSCORE', KEYS[1], from, '-inf', 'WITHSCORES', 'LIMIT', 0, math.min(want - n, 16))
  if #ids == 0 then return out end
  for i = 1, #ids, 2 do
    seen = seen + 1
    from = '(' .. ids[i + 1]
    local key = ARGV[1] .. ids[i]
    local s = redis.call('GET', key)
    if s then
      n = n + 1
      size = size + #s
      out[#out + 1] = ids[i]
      out[#out + 1] = s
      out[#out + 1] = redis.call('PTTL', key)
    else
      redis.call('ZREM', KEYS[1], ids[i])
    end
  end
end
out[1] = from
return out
`}

// KEYS: index. ARGV: head, up to which score, how many. It returns how many lived, and up to which score to go
// on, empty at the end: what is stored meanwhile has a higher one.
var deletePartialScript = script{"4c22b017ad9e4385f8e4b492f28b42a717610347", `
local top = ARGV[2]
if top == '' then top = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] end
if not top then return {0, ''} end
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', top, 'LIMIT', 0, ARGV[3])
local n = 0
for _, id in ipairs(ids) do n = n + redis.call('DEL', ARGV[1] .. id) end
if #ids > 0 then redis.call('ZREM', KEYS[1], unpack(ids)) end
if #ids < tonumber(ARGV[3]) then top = '' end
return {n, top}
`}

// run runs a script.
func (s *Store) run(ctx context.Context, sc *script, keys []string, args ...string) (rueidis.RedisMessage, error) {
	n := strconv.Itoa(len(keys))
	eval := func(c rueidis.Client, command, text string) rueidis.RedisResult {
		return c.Do(calling, c.B().Arbitrary(command, text, n).Keys(keys...).Args(args...).Build())
	}
	return s.call(ctx, func(c rueidis.Client) rueidis.RedisResult {
		answer := eval(c, "EVALSHA", sc.sha)
		if e, ok := rueidis.IsRedisErr(answer.Error()); ok && e.IsNoScript() {
			s.counts.evals.Add(1)
			return eval(c, "EVAL", sc.text)
		}
		return answer
	})
}

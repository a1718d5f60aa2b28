# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits as Rspamd's ratelimit module reads them: a Lua file for its option custom_keywords. Standard library only, Python >= 3.9.

The module does the counting. Per limit the file hands it a function that says which bucket a message goes into and how large that is; the
module names the buckets that are full by symbols, and the file's own prefilter makes one refusal of them, of the kind that is wanted.
"""

from __future__ import annotations

import re
import typing as t

from .engine import MARK
from .policy import WINDOWS, Limit, Policy

#: Of these, Rspamd knows whom a message is from.
SCOPES = ("account", "domain")
KINDS = ("soft", "hard")
PREFILTER = "GOODSTANDING_LIMIT"
RELEASE = "GOODSTANDING_RELEASE"
#: A bucket of a day is empty after a day.
EXPIRE = 172800


def symbol(scope: str, window: str, kind: str) -> str:
    return f"GOODSTANDING_{scope}_{window}_{kind}".upper()


def names(policy: Policy) -> list[tuple[str, str, str]]:
    """Return every (scope, window, kind) that some limit of the policy has."""
    limits = [(scope, getattr(policy, scope)) for scope in SCOPES] + [(scope, limit) for (scope, _), limit in policy.overrides.items()]
    found = {(scope, window, kind) for scope, limit in limits for kind in KINDS for window in getattr(limit, kind)}
    return [name for name in ((scope, window, kind) for scope in SCOPES for window in WINDOWS for kind in KINDS) if name in found]


def quoted(text: str) -> str:
    """Return a Lua string: whatever is no plain letter or digit as its number."""
    return (
        '"' + re.sub(rb"[^A-Za-z0-9@._ -]", lambda match: b"\\%03d" % match[0][0], text.encode("utf-8", "surrogateescape")).decode() + '"'
    )


def _table(limit: Limit) -> str:
    halves = ({window: half[window] for window in WINDOWS if window in half} for half in (limit.soft, limit.hard))
    soft, hard = ("{" + ", ".join(f"{window} = {number:d}" for window, number in half.items()) + "}" for half in halves)
    return f"{{soft = {soft}, hard = {hard}}}"


def text(policy: Policy) -> str:
    """Return the file."""
    overrides: dict[str, list[str]] = {scope: [] for scope in SCOPES}
    for (scope, key), limit in sorted(policy.overrides.items()):
        overrides[scope].append(f"    [{quoted(key)}] = {_table(limit)},\n")
    values: dict[str, t.Any] = {
        "mark": quoted(MARK), "prefilter": PREFILTER, "release": RELEASE, "expire": EXPIRE, "shadow": "true" if policy.shadow else "false",
        "windows": ", ".join(f"{window} = {seconds}" for window, seconds in WINDOWS.items()),
        "limits": "".join(f"  {scope} = {_table(getattr(policy, scope))},\n" for scope in SCOPES),
        "overrides": "".join(f"  {scope} = {{\n{''.join(rows)}  }},\n" for scope, rows in overrides.items()),
        "names": "".join(f"  {{{quoted(s)}, {quoted(w)}, {quoted(k)}, {quoted(symbol(s, w, k))}}},\n" for s, w, k in names(policy)),
    }  # fmt: skip
    return re.sub("%([a-z]+)%", lambda match: str(values[match[1]]), _LUA)


_LUA = """\
-- Sending limits. Written by Good Standing (role rate_limit), which writes it anew: changes made here are lost.
local lua_redis = require "lua_redis"
local lua_util = require "lua_util"
local rspamd_logger = require "rspamd_logger"
local rspamd_util = require "rspamd_util"

local MARK = %mark%
local SHADOW = %shadow%
local WINDOWS = {%windows%}
-- Recipients: more than soft are put off, more than hard are refused.
local LIMITS = {
%limits%}
-- What stands instead for one account or domain.
local OVERRIDES = {
%overrides%}
-- Scope, window, kind and symbol of each limit.
local NAMES = {
%names%}

-- A release that keeps its scripts in files marks what is still being looked at in the bucket. An older one counts when all is done with a
-- message: there it is counted here, at once.
local COUNTS_PENDING = rspamd_util.file_exists((rspamd_paths or {})['SHAREDIR'] .. '/lualib/redis_scripts/ratelimit_check.lua')
local redis = lua_redis.parse_redis_server('ratelimit')

local function keys_of(task)
  local user = task:get_user()
  if not user or user == '' then return {} end
  user = string.lower(user)
  return {account = user, domain = string.match(user, '@([^@]+)$')}
end

-- What this message asked for: its limits, and in which buckets it is by our doing.
local function asked_of(task)
  local asked = task:cache_get('goodstanding_asked')
  if not asked then
    local _, recipients = task:has_recipients('smtp')
    if not recipients or recipients < 1 then recipients = 1 end
    asked = {limits = {}, counted = {}, recipients = recipients}
    task:cache_set('goodstanding_asked', asked)
  end
  return asked
end

local function bucket_of(scope, window, kind, symbol)
  return function(task)
    local key = keys_of(task)[scope]
    local limit = key and ((OVERRIDES[scope][key] or LIMITS[scope])[kind][window])
    if not limit then return nil, nil end
    local id = table.concat({'goodstanding', scope, window, kind, key}, ':')
    local asked = asked_of(task)
    -- never: the module lets any message into an empty bucket.
    table.insert(asked.limits, {scope = scope, window = window, kind = kind, key = key, id = id, symbol = symbol, limit = limit,
      never = asked.recipients > limit})
    return id, {burst = limit, rate = limit / WINDOWS[window], symbol = symbol, skip_soft_reject = true}
  end
end

local function logged(key)
  return (string.gsub(string.sub(key, 1, 320), '[^%w@._+=-]', function(c) return string.format('%%%02X', string.byte(c)) end))
end

local function add(task, hash, number)
  if not redis then return end
  lua_redis.redis_make_request(task, redis, hash, true, function(err)
    if err then rspamd_logger.errx(task, 'cannot count an attempt: %s', err) end
  end, 'HINCRBYFLOAT', {hash, 'b', tostring(number)})
end

-- Refuses the message for the limits that it met; a hard one stands above the soft ones.
local function conclude(task, asked, met)
  local said, worst = 'soft', nil
  for _, one in ipairs(met) do
    if one.kind == 'hard' or one.never then said = 'hard' end
  end
  for _, one in ipairs(met) do
    if said == 'soft' or one.kind == 'hard' or one.never then
      worst = worst or one
      rspamd_logger.warnx(task, '%s: %s %s %s %s %s', MARK, SHADOW and 'shadow' or said, one.scope, one.window, asked.recipients,
        logged(one.key))
    end
  end
  if not worst or SHADOW then return end
  local message = MARK .. ': ' .. worst.scope .. ' ' .. worst.window
  if worst.never then
    message = message .. ', and this message alone has more recipients than the ' .. worst.limit .. ' allowed: send it in parts'
  end
  if said == 'soft' then
    -- Who goes on in spite of a soft limit meets the hard one: what was put off counts there, too.
    for _, one in ipairs(asked.limits) do
      if one.kind == 'hard' and one.hash then add(task, one.hash, asked.recipients) end
    end
  end
  task:set_pre_result(said == 'soft' and 'soft reject' or 'reject', message, 'goodstanding')
end

-- Counts the message as the module would. To count and to learn the level is one step in Redis: also of messages that other processes and
-- hosts look at, none is one too many.
local COUNT = [[
  local level = redis.call('HINCRBYFLOAT', KEYS[1], 'b', KEYS[2])
  redis.call('HSET', KEYS[1], 'l', KEYS[3])
  redis.call('EXPIRE', KEYS[1], KEYS[4])
  return level
]]
local count_id

local function count(task, asked, buckets)
  local open, met = 0, {}
  for _, one in ipairs(asked.limits) do
    if one.hash then open = open + 1 end
  end
  local now = tostring(math.floor(rspamd_util.get_time() * 1000))
  for _, one in ipairs(asked.limits) do
    if one.hash then
      local answered = false
      local function answer(err, level)
        if answered then return end
        answered = true
        level = not err and tonumber(level) or nil
        if level then
          table.insert(asked.counted, one.hash)
          buckets[one.id] = nil -- not a second time
        else
          rspamd_logger.errx(task, 'cannot update rate bucket %s: %s', one.id, err)
        end
        if level and level > one.limit then table.insert(met, one) end
        open = open - 1
        if open == 0 then conclude(task, asked, met) end
      end
      lua_redis.exec_redis_script(count_id, {key = one.hash, task = task, is_write = true}, answer,
        {one.hash, tostring(asked.recipients), now, '%expire%'})
    end
  end
end

-- What is refused in the end does not count.
local function take_back(task)
  local asked = task:cache_get('goodstanding_asked')
  if not asked or not task:has_pre_result() then return end
  for _, hash in ipairs(asked.counted) do add(task, hash, -asked.recipients) end
  asked.counted = {}
end

local function look(task)
  local asked = task:cache_get('goodstanding_asked')
  if not asked then return end
  local buckets = task:cache_get('ratelimit_prefixes') or {}
  local met = {}
  for _, one in ipairs(asked.limits) do
    one.hash = buckets[one.id] and buckets[one.id].hash
    local full = task:has_symbol(one.symbol)
    if full or one.never then table.insert(met, one) end
    if full and COUNTS_PENDING and not SHADOW then
      -- The module did not mark this message there, and would take the mark of another one away.
      buckets[one.id] = nil
    end
  end
  if met[1] then
    conclude(task, asked, met)
  elseif count_id and not SHADOW then
    count(task, asked, buckets)
  end
end

local id = rspamd_config:register_symbol{
  type = 'prefilter',
  name = '%prefilter%',
  -- After RATELIMIT_CHECK, which is medium.
  priority = lua_util.symbols_priorities and lua_util.symbols_priorities.low or 0,
  flags = 'empty,nostat',
  callback = look,
}
rspamd_config:register_symbol{
  type = 'idempotent',
  name = '%release%',
  flags = 'explicit_disable,ignore_passthrough',
  callback = take_back,
}
rspamd_config:add_on_load(function()
  if redis and not COUNTS_PENDING then count_id = lua_redis.add_redis_script(COUNT, redis) end
end)
local handlers = {}
for _, name in ipairs(NAMES) do
  rspamd_config:register_symbol{type = 'virtual', name = name[4], parent = id, score = 0.0}
  handlers['goodstanding_' .. name[1] .. '_' .. name[2] .. '_' .. name[3]] = bucket_of(name[1], name[2], name[3], name[4])
end
return handlers
"""

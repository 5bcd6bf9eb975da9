-- Which payloads may be handed to Wireshark's dissectors. A module of libchan.lua; loaded by itself it does nothing.
--
-- Those dissectors add a level to the tree for every level of the value. At some hundreds Wireshark gives the whole packet
-- up, with the frames behind the payload. So what is nested deeper than any libchan decoder follows is shown as bytes.

local MAX_NESTING = 128

-- The big-endian number of `count` bytes, or nil where they are not there.
local function number(s, at, count)
  if at + count - 1 > #s then
    return nil
  end
  local value = 0
  for k = at, at + count - 1 do
    value = value * 256 + s:byte(k)
  end
  return value
end

-- Of msgpack's types from c4 on: the bytes of the length, what is added to it, and how many values an entry holds.
local LENGTHS = {
  [0xc4] = { 1, 0 }, [0xc5] = { 2, 0 }, [0xc6] = { 4, 0 }, [0xc7] = { 1, 1 }, [0xc8] = { 2, 1 }, [0xc9] = { 4, 1 },
  [0xca] = { 0, 4 }, [0xcb] = { 0, 8 }, [0xcc] = { 0, 1 }, [0xcd] = { 0, 2 }, [0xce] = { 0, 4 }, [0xcf] = { 0, 8 },
  [0xd0] = { 0, 1 }, [0xd1] = { 0, 2 }, [0xd2] = { 0, 4 }, [0xd3] = { 0, 8 },
  [0xd4] = { 0, 2 }, [0xd5] = { 0, 3 }, [0xd6] = { 0, 5 }, [0xd7] = { 0, 9 }, [0xd8] = { 0, 17 },
  [0xd9] = { 1, 0 }, [0xda] = { 2, 0 }, [0xdb] = { 4, 0 },
  [0xdc] = { 2, 0, 1 }, [0xdd] = { 4, 0, 1 }, [0xde] = { 2, 0, 2 }, [0xdf] = { 4, 0, 2 },
}

local HEAD = {}

-- Where the value at `at` goes on behind its head and its own bytes, and how many values it holds.
function HEAD.msgpack(s, at)
  local first = s:byte(at)
  if first >= 0x80 and first <= 0x8f then
    return at + 1, (first - 0x80) * 2
  elseif first >= 0x90 and first <= 0x9f then
    return at + 1, first - 0x90
  elseif first >= 0xa0 and first <= 0xbf then
    return at + 1 + first - 0xa0, 0
  end
  local form = LENGTHS[first]
  if not form then
    return at + 1, 0
  end
  local length = number(s, at + 1, form[1])
  if not length then
    return nil
  elseif form[3] then
    return at + 1 + form[1], length * form[3]
  end
  return at + 1 + form[1] + length + form[2], 0
end

function HEAD.cbor(s, at)
  local first = s:byte(at)
  local major, info = math.floor(first / 32), first % 32
  local more = info >= 24 and info <= 27 and 2 ^ (info - 24) or 0
  local length = info == 31 and math.huge or more == 0 and info or number(s, at + 1, more)
  at = at + 1 + more
  if first == 0xff then
    return at, -1
  elseif not length then
    return nil
  elseif major == 2 or major == 3 then
    return at + (info == 31 and 0 or length), info == 31 and length or 0
  elseif major == 6 then
    return at, 1
  end
  return at, (major == 4 or major == 5) and length * (major - 3) or 0
end

local function is_flat_binary(s, head)
  local at, open = 1, {}
  while at and at <= #s do
    local count
    at, count = head(s, at)
    if count == -1 then
      open[#open] = 0
    elseif count and count > 0 then
      open[#open + 1] = count
    elseif #open > 0 then
      open[#open] = open[#open] - 1
    end
    while #open > 0 and open[#open] <= 0 do
      open[#open] = nil
      if #open > 0 then
        open[#open] = open[#open] - 1
      end
    end
    if #open > MAX_NESTING then
      return false
    end
  end
  return true
end

-- Counts what opens and closes among the matches of a pattern.
local function is_flat_text(s, pattern, opens, closes)
  local depth = 0
  for found in s:gmatch(pattern) do
    depth = depth + (opens[found] and 1 or closes[found] and -1 or 0)
    if depth > MAX_NESTING then
      return false
    end
  end
  return true
end

local FLAT = {
  msgpack = function(s) return is_flat_binary(s, HEAD.msgpack) end,
  cbor = function(s) return is_flat_binary(s, HEAD.cbor) end,
  json = function(s)
    s = s:gsub("\\.", ""):gsub('"[^"]*"', "")
    return is_flat_text(s, "[%[%]{}]", { ["["] = true, ["{"] = true }, { ["]"] = true, ["}"] = true })
  end,
  xml = function(s)
    return is_flat_text(s:gsub("/>", "</"), "<[/!?]?", { ["<"] = true }, { ["</"] = true })
  end,
  protobuf = function() return true end,
}

-- The dissector for a payload in this codec, where Wireshark has one under the codec's name and it may be called.
local function dissector(codec, bytes)
  if not FLAT[codec] or bytes == "" or not FLAT[codec](bytes) then
    return nil
  end
  local known, found = pcall(Dissector.get, codec)
  return known and found or nil
end

return { dissector = dissector }

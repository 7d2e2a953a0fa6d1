#include "tokenizer/split.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace nearplane {
namespace {

struct Part {
  std::size_t begin, end;
  bool match;
};

// The whole text as matches and what lies between them.
void cover(const std::vector<Match>& matches, std::size_t size, bool invert, std::vector<Part>& parts) {
  std::size_t at = 0;
  for (const auto& match : matches) {
    if (at != match.begin) parts.push_back({at, match.begin, invert});
    parts.push_back({match.begin, match.end, !invert});
    at = match.end;
  }
  if (at != size) parts.push_back({at, size, invert});
}

// Merges each part into the kept one before it where join(part, previous part) says so.
template <class F>
void merge(std::vector<Part>& parts, const F& join) {
  std::vector<Part> out;
  bool previous = false;
  for (const auto& part : parts) {
    const bool joined = !out.empty() && join(part.match, previous);
    if (joined) {
      out.back().begin = std::min(out.back().begin, part.begin);
      out.back().end = std::max(out.back().end, part.end);
    } else {
      out.push_back(part);
    }
    previous = part.match;
  }
  parts = std::move(out);
}

void behave(std::vector<Part>& parts, Behavior behavior) {
  const auto starts_run = [](bool match, bool previous) { return match && !previous; };
  switch (behavior) {
    case Behavior::removed:
      std::erase_if(parts, [](const Part& part) { return part.match; });
      break;
    case Behavior::isolated:
      break;
    case Behavior::contiguous:
      merge(parts, [](bool match, bool previous) { return match == previous; });
      break;
    case Behavior::merged_with_previous:
      merge(parts, starts_run);
      break;
    case Behavior::merged_with_next:
      std::reverse(parts.begin(), parts.end());
      merge(parts, starts_run);
      std::reverse(parts.begin(), parts.end());
      break;
  }
}

}  // namespace

Behavior parse_behavior(const std::string& name, const std::string& where) {
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "Contiguous") return Behavior::contiguous;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  fail_unsupported(where, "split behavior '{}' is not supported", name);
}

void split_pieces(PieceList& list, Behavior behavior, bool invert, const FindAll& find_all) {
  std::vector<Piece> out;
  out.reserve(list.pieces.size());
  std::vector<Match> matches;
  std::vector<Part> parts;
  for (const auto& piece : list.pieces) {
    matches.clear();
    parts.clear();
    find_all(list.view(piece), matches);
    cover(matches, piece.end - piece.begin, invert, parts);
    behave(parts, behavior);
    for (const auto& part : parts)
      if (part.begin != part.end)
        out.push_back({piece.begin + part.begin, piece.begin + part.end, piece.first && part.begin == 0});
  }
  list.pieces = std::move(out);
}

}  // namespace nearplane

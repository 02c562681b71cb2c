// worker/collective/schedule.cc: the planners
#include "worker/collective/schedule.h"

#include <algorithm>
#include <bit>

#include "common/base/check.h"
#include "common/base/slice.h"

namespace muster::worker {
namespace {

using Kind = Move::Kind;

int power_of_two_below(int ranks) { return static_cast<int>(std::bit_floor(static_cast<unsigned>(ranks))); }

// A binomial tree over ranks counted from its root. Source: Thakur, Rabenseifner & Gropp (2005).
struct TreePlace {
  int parent = -1;            // of the root: none
  std::vector<int> children;  // smallest subtree first
};
TreePlace place_in_tree(int rank, int ranks, int root) {
  const int self = (rank - root + ranks) % ranks;
  const auto named = [&](int other) { return (other + root) % ranks; };
  TreePlace place;
  for (int bit = 1; bit < ranks; bit *= 2) {
    if ((self & bit) != 0) {
      place.parent = named(self - bit);
      break;
    }
    if (self + bit < ranks) place.children.push_back(named(self + bit));
  }
  return place;
}

struct Holding {  // what a rank has of the sum, and the moves by which it has it
  Chunk chunk;
  std::array<int, 2> by{-1, -1};
};

// Recursive halving: the ranks below `power` halve what each of them sums, until each has one part.
Holding halve(Schedule& schedule, int rank, int power, Extent extent, int before) {
  int first = 0;
  int last = power;
  int newest = before;
  for (int distance = power / 2; distance >= 1; distance /= 2) {
    const int middle = first + distance;
    const bool lower = (rank & distance) == 0;
    const Chunk given = lower ? extent.parts(middle, last, power) : extent.parts(first, middle, power);
    (lower ? last : first) = middle;
    (void)schedule.add({.kind = Kind::kSend, .peer = rank ^ distance, .chunk = given, .after = {newest, -1}});
    newest = schedule.add({.kind = Kind::kReduce,
                           .peer = rank ^ distance,
                           .chunk = extent.parts(first, last, power),
                           .after = {newest, -1}});
  }
  return {.chunk = extent.parts(first, last, power), .by = {newest, -1}};
}

// Recursive doubling: they give each other what they have, until all have all.
Holding redouble(Schedule& schedule, int rank, int power, Extent extent, Holding holding) {
  for (int distance = 1; distance < power; distance *= 2) {
    const int peer = rank ^ distance;
    const int theirs = peer / distance * distance;  // the first of the parts that the peer has
    const int sent =
        schedule.add({.kind = Kind::kSend, .peer = peer, .chunk = holding.chunk, .after = holding.by});
    const int received = schedule.add(
        {.kind = Kind::kStore, .peer = peer, .chunk = extent.parts(theirs, theirs + distance, power)});
    const int both = std::min(theirs, rank / distance * distance);
    holding = {.chunk = extent.parts(both, both + 2 * distance, power), .by = {sent, received}};
  }
  return holding;
}

}  // namespace

Chunk Extent::part(int index, int parts) const {
  MUSTER_CHECK(index >= 0 && index < parts);
  const Slice slice = slice_of(static_cast<std::int64_t>(elements), index, parts);
  return {.begin = static_cast<std::size_t>(slice.begin),
          .size = static_cast<std::size_t>(slice.size()) + (index == parts - 1 ? riders : 0)};
}

Chunk Extent::parts(int first, int last, int parts) const {
  MUSTER_CHECK(first < last);
  const Chunk begin = part(first, parts);
  const Chunk end = part(last - 1, parts);
  return {.begin = begin.begin, .size = end.begin + end.size - begin.begin};
}

Schedule ring_all_reduce(int rank, int ranks, Extent extent) {
  Schedule schedule;
  const int next = (rank + 1) % ranks;
  const int previous = (rank + ranks - 1) % ranks;
  int arrived = -1;
  // What comes at a step goes on at the next: sums for n - 1 steps, then what is whole.
  for (int step = 0; step < 2 * (ranks - 1); ++step) {
    const auto chunk = [&](int sender) { return extent.part((sender - step + 2 * ranks) % ranks, ranks); };
    (void)schedule.add({.kind = Kind::kSend, .peer = next, .chunk = chunk(rank), .after = {arrived, -1}});
    arrived = schedule.add({.kind = step < ranks - 1 ? Kind::kReduce : Kind::kStore,
                            .peer = previous,
                            .chunk = chunk(previous)});
  }
  return schedule;
}

Schedule halving_doubling_all_reduce(int rank, int ranks, Extent extent) {
  Schedule schedule;
  const int power = power_of_two_below(ranks);
  const Chunk all = extent.parts(0, 1, 1);
  if (rank >= power) {  // a partner does its part
    const int sent = schedule.add({.kind = Kind::kSend, .peer = rank - power, .chunk = all});
    (void)schedule.add({.kind = Kind::kStore, .peer = rank - power, .chunk = all, .after = {sent, -1}});
    return schedule;
  }
  const bool partner = rank + power < ranks;
  int folded = -1;
  if (partner) folded = schedule.add({.kind = Kind::kReduce, .peer = rank + power, .chunk = all});
  const Holding part = halve(schedule, rank, power, extent, folded);
  const Holding whole = redouble(schedule, rank, power, extent, part);
  if (partner)
    (void)schedule.add({.kind = Kind::kSend, .peer = rank + power, .chunk = all, .after = whole.by});
  return schedule;
}

Schedule tree_all_reduce(int rank, int ranks, Extent extent) {
  Schedule schedule;
  const TreePlace place = place_in_tree(rank, ranks, 0);
  const Chunk all = extent.parts(0, 1, 1);
  int newest = -1;
  for (const int child : place.children)
    newest = schedule.add({.kind = Kind::kReduce, .peer = child, .chunk = all, .after = {newest, -1}});
  if (place.parent >= 0) {
    newest = schedule.add({.kind = Kind::kSend, .peer = place.parent, .chunk = all, .after = {newest, -1}});
    newest = schedule.add({.kind = Kind::kStore, .peer = place.parent, .chunk = all, .after = {newest, -1}});
  }
  for (auto child = place.children.rbegin(); child != place.children.rend(); ++child)
    (void)schedule.add({.kind = Kind::kSend, .peer = *child, .chunk = all, .after = {newest, -1}});
  return schedule;
}

Schedule all_to_all_all_reduce(int rank, int ranks, Extent extent) {
  Schedule schedule;
  const Chunk all = extent.parts(0, 1, 1);
  int sent = -1;  // behind each other, so that the last says how far all are
  for (int i = 1; i < ranks; ++i) {
    sent = schedule.add({.kind = Kind::kSend, .peer = (rank + i) % ranks, .chunk = all, .after = {sent, -1}});
  }
  int summed = -1;
  for (int from = 0; from < ranks; ++from) {
    if (from == rank) (void)schedule.add({.kind = Kind::kSend, .peer = rank, .chunk = all});
    summed = schedule.add({.kind = from == 0 ? Kind::kStore : Kind::kReduce,
                           .peer = from,
                           .chunk = all,
                           .after = {summed, -1},
                           .scratch = true});
  }
  (void)schedule.add(
      {.kind = Kind::kSend, .peer = rank, .chunk = all, .after = {summed, sent}, .scratch = true});
  (void)schedule.add({.kind = Kind::kStore, .peer = rank, .chunk = all, .after = {sent, -1}});
  return schedule;
}

Schedule direct_all_reduce(int rank, int ranks, Extent extent) {
  Schedule schedule;
  const Chunk mine = extent.part(rank, ranks);
  const auto peer = [&](int i) { return (rank + i) % ranks; };
  for (int i = 1; i < ranks; ++i)
    (void)schedule.add({.kind = Kind::kSend, .peer = peer(i), .chunk = extent.part(peer(i), ranks)});
  int summed = -1;
  for (int i = 1; i < ranks; ++i)
    summed =
        schedule.add({.kind = Kind::kReduce, .peer = peer(ranks - i), .chunk = mine, .after = {summed, -1}});
  for (int i = 1; i < ranks; ++i)
    (void)schedule.add({.kind = Kind::kSend, .peer = peer(i), .chunk = mine, .after = {summed, -1}});
  for (int i = 1; i < ranks; ++i) {
    const int from = peer(ranks - i);
    (void)schedule.add({.kind = Kind::kStore, .peer = from, .chunk = extent.part(from, ranks)});
  }
  return schedule;
}

Schedule exchange_all_reduce(int rank, Extent extent) {
  Schedule schedule;
  const Chunk all = extent.parts(0, 1, 1);
  const int sent = schedule.add({.kind = Kind::kSend, .peer = 1 - rank, .chunk = all});
  (void)schedule.add({.kind = Kind::kReduce, .peer = 1 - rank, .chunk = all, .after = {sent, -1}});
  return schedule;
}

Schedule chain_broadcast(int rank, int ranks, int root, Extent extent) {
  Schedule schedule;
  const Chunk all = extent.parts(0, 1, 1);
  const int next = (rank + 1) % ranks;
  int arrived = -1;
  if (rank != root) {
    const int previous = (rank + ranks - 1) % ranks;
    arrived = schedule.add({.kind = Kind::kStore, .peer = previous, .chunk = all});
  }
  if (next != root)
    (void)schedule.add({.kind = Kind::kSend, .peer = next, .chunk = all, .after = {arrived, -1}});
  return schedule;
}

Schedule tree_broadcast(int rank, int ranks, int root, Extent extent) {
  Schedule schedule;
  const TreePlace place = place_in_tree(rank, ranks, root);
  const Chunk all = extent.parts(0, 1, 1);
  int arrived = -1;
  if (place.parent >= 0) arrived = schedule.add({.kind = Kind::kStore, .peer = place.parent, .chunk = all});
  for (auto child = place.children.rbegin(); child != place.children.rend(); ++child)
    (void)schedule.add({.kind = Kind::kSend, .peer = *child, .chunk = all, .after = {arrived, -1}});
  return schedule;
}

std::uint64_t payload_elements(const Schedule& schedule, int rank, Extent extent) {
  std::uint64_t sum = 0;
  for (const Move& move : schedule.moves) {
    if (move.kind != Kind::kSend || move.peer == rank) continue;
    const std::size_t end = std::min(move.chunk.begin + move.chunk.size, extent.elements);
    sum += end - std::min(move.chunk.begin, end);
  }
  return sum;
}

}  // namespace muster::worker

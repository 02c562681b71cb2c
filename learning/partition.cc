// learning/partition.cc: IID, label shards, Dirichlet and natural partitions
#include "learning/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "common/base/random.h"
#include "common/base/slice.h"

namespace muster::learning {
namespace {

using Parts = std::vector<std::vector<std::int64_t>>;
using Rows = std::vector<std::int64_t>;

void append_slice(Rows& part, const Rows& order, std::int64_t count, std::int64_t index) {
  const auto [begin, end] = slice_of(std::ssize(order), index, count);
  part.insert(part.end(), order.begin() + begin, order.begin() + end);
}

Rows all_rows(std::int64_t n) {
  Rows rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

Parts iid(const Examples& data, std::int64_t clients, Random random) {
  Rows order = all_rows(data.size());
  random.shuffle(std::span(order));
  Parts parts(static_cast<std::size_t>(clients));
  for (std::int64_t c = 0; c < clients; ++c)
    append_slice(parts[static_cast<std::size_t>(c)], order, clients, c);
  return parts;
}

Result<Parts> label_shards(const Examples& data, std::int64_t clients, std::int64_t per_client,
                           Random random) {
  if (per_client < 1) return invalid_argument("partition LabelShards: shardsPerClient must be at least 1");
  if (per_client > data.size() / clients)
    return invalid_argument(
        fmt::format("partition LabelShards: {} clients with {} shards each need as many examples, the "
                    "data has {}; lower clients.count or shardsPerClient",
                    clients, per_client, data.size()));
  Rows order = all_rows(data.size());
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return data.labels[static_cast<std::size_t>(a)] < data.labels[static_cast<std::size_t>(b)];
  });
  const std::int64_t shards = clients * per_client;
  Rows dealt = all_rows(shards);
  random.shuffle(std::span(dealt));
  Parts parts(static_cast<std::size_t>(clients));
  for (std::int64_t i = 0; i < shards; ++i)
    append_slice(parts[static_cast<std::size_t>(i / per_client)], order, shards,
                 dealt[static_cast<std::size_t>(i)]);
  return parts;
}

// Class weights of one client ~ Dirichlet(alpha times each class's share of the data, so alpha itself when
// the classes are balanced).
std::vector<double> draw_proportions(const std::vector<Rows>& pools, std::int64_t total, double alpha,
                                     Random& random) {
  std::vector<double> weights;
  double sum = 0;
  for (const Rows& pool : pools) {
    const double share =
        static_cast<double>(pools.size()) * static_cast<double>(pool.size()) / static_cast<double>(total);
    weights.push_back(pool.empty() ? 0.0 : random.gamma(alpha * share));
    sum += weights.back();
  }
  if (sum > 0) return weights;
  // A tiny alpha underflows every draw: its limit is one class, chosen by share.
  const auto row = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(total)));
  std::int64_t seen = 0;
  for (std::size_t c = 0; c < pools.size(); ++c) {
    const bool here = seen <= row && row < seen + std::ssize(pools[c]);
    weights[c] = here ? 1.0 : 0.0;
    seen += std::ssize(pools[c]);
  }
  return weights;
}

// A class that has rows left, by the client's weights; by what is left where those classes are all used up.
std::size_t draw_class(const std::vector<Rows>& pools, const std::vector<double>& weights, Random& random) {
  const auto pick = [&](const auto& weight_of) -> std::optional<std::size_t> {
    double sum = 0;
    for (std::size_t c = 0; c < pools.size(); ++c) sum += pools[c].empty() ? 0.0 : weight_of(c);
    if (!(sum > 0)) return std::nullopt;
    double target = random.uniform() * sum;
    std::optional<std::size_t> last;
    for (std::size_t c = 0; c < pools.size(); ++c) {
      if (pools[c].empty() || !(weight_of(c) > 0)) continue;
      last = c;
      target -= weight_of(c);
      if (target < 0) break;
    }
    return last;
  };
  if (const auto c = pick([&](std::size_t i) { return weights[i]; })) return *c;
  return *pick([&](std::size_t i) { return static_cast<double>(pools[i].size()); });
}

Result<Parts> dirichlet(const Examples& data, std::int64_t clients, double alpha, Random random) {
  if (!(alpha > 0))
    return invalid_argument(fmt::format("partition Dirichlet: alpha is {}, must be above 0", alpha));
  std::vector<Rows> pools(static_cast<std::size_t>(data.class_count));
  for (const std::int64_t row : all_rows(data.size()))
    pools[static_cast<std::size_t>(data.labels[static_cast<std::size_t>(row)])].push_back(row);
  for (Rows& pool : pools) random.shuffle(std::span(pool));
  const std::vector<Rows> whole = pools;
  Parts parts(static_cast<std::size_t>(clients));
  for (std::int64_t c = 0; c < clients; ++c) {
    const auto weights = draw_proportions(whole, data.size(), alpha, random);
    const auto [begin, end] = slice_of(data.size(), c, clients);
    for (std::int64_t i = begin; i < end; ++i) {
      Rows& pool = pools[draw_class(pools, weights, random)];
      parts[static_cast<std::size_t>(c)].push_back(pool.back());
      pool.pop_back();
    }
  }
  return parts;
}

Result<Parts> natural(const Dataset& data, std::int64_t clients) {
  if (data.device_begin.size() < 2)
    return invalid_argument(
        "partition Natural: the dataset has no devices of its own; use IID, LabelShards or Dirichlet");
  const std::int64_t devices = std::ssize(data.device_begin) - 1;
  if (devices != clients)
    return invalid_argument(
        fmt::format("partition Natural: the dataset has {} devices but clients.count is {}; make "
                    "them equal",
                    devices, clients));
  Parts parts;
  for (std::size_t c = 0; c + 1 < data.device_begin.size(); ++c) {
    Rows& part = parts.emplace_back();
    for (std::int64_t row = data.device_begin[c]; row < data.device_begin[c + 1]; ++row) part.push_back(row);
  }
  return parts;
}

}  // namespace

Result<std::vector<std::vector<std::int64_t>>> partition_examples(const Dataset& data,
                                                                  const spec::Partition& partition,
                                                                  std::int64_t clients, std::uint64_t seed) {
  if (clients < 1) return invalid_argument(fmt::format("partition: {} clients, must be at least 1", clients));
  if (partition.kind == "Natural") return natural(data, clients);
  if (data.train.size() < clients)
    return invalid_argument(
        fmt::format("partition {}: {} training examples are too few for {} clients; lower "
                    "clients.count",
                    partition.kind, data.train.size(), clients));
  const Random random(hash_key(seed, 0x706172746974696fULL));  // its own stream: "partitio"
  if (partition.kind == "IID") return iid(data.train, clients, random);
  if (partition.kind == "LabelShards")
    return label_shards(data.train, clients, partition.shards_per_client, random);
  if (partition.kind == "Dirichlet") return dirichlet(data.train, clients, partition.alpha, random);
  return invalid_argument(
      fmt::format("partition \"{}\" is unknown; use IID, LabelShards, Dirichlet or Natural", partition.kind));
}

}  // namespace muster::learning

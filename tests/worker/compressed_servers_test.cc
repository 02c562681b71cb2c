// tests/worker/compressed_servers_test.cc: gradients to parameter servers, and parameters back, as frames
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/parameter_server_support.h"
#include "tests/worker/quadratic_model.h"
#include "tests/worker/small_job.h"

namespace muster::worker::test {
namespace {

constexpr std::int64_t kWide = 2'100;

learning::Examples wide_examples(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  learning::Examples made = examples(count, seed);
  made.feature_count = kWide;
  made.shape = {kWide};
  made.features.clear();
  for (std::int64_t i = 0; i < count * kWide; ++i)
    made.features.push_back(static_cast<float>(1 + 0.1 * random.normal()));
  return made;
}

const learning::Dataset& data() {
  static const learning::Dataset kData{
      .train = wide_examples(32, 1), .test = wide_examples(5, 2), .device_begin = {}};
  return kData;
}

struct Trained {
  ServedOutcome outcome;
  std::vector<ShardState> states;
};

Trained train(const std::optional<PartCodecOptions>& codec, bool asynchronous = false,
              CheckpointWriter* writer = nullptr) {
  spec::Training spec = training(4, 5);
  spec.optimizer.momentum = 0;
  if (writer != nullptr) spec.checkpoint = spec::Checkpoint{.path = "unused", .every_steps = 3, .keep = 1};
  std::vector<Learnt> learnt(2);
  Trained trained{.outcome = {}, .states = std::vector<ShardState>(2)};
  trained.outcome = train_served(
      {.workers = 2,
       .asynchronous = asynchronous,
       .make_model = [](int) { return std::make_unique<QuadraticModel>(kWide); },
       .make_optimizer =
           [spec](std::int64_t count) { return learning::make_optimizer(spec.optimizer, count); },
       .training = spec,
       .data = data(),
       .writer = writer,
       .codec = codec},
      learnt, trained.states);
  for (const auto& worker : trained.outcome.workers) EXPECT_TRUE(*worker) << worker->error().message;
  for (const Status& server : trained.outcome.servers) EXPECT_TRUE(server) << server.error().message;
  return trained;
}

const std::vector<float>& parameters_of(const Trained& trained, std::size_t worker) {
  return (**trained.outcome.workers[worker]).state.parameters;
}

double loss_of(const Trained& trained) { return trained.outcome.progress[0].test->loss; }

PartCodecOptions in_format(codec::Format format, double top_k = 1) {
  return {.codec = {.format = format, .top_k_fraction = top_k}, .error_feedback = true, .seed = 3};
}

TEST(CompressedServers, SendTheFormulasBytesBothWays) {
  const auto dense = train(std::nullopt);
  const std::uint64_t steps = 20;
  EXPECT_EQ(dense.outcome.progress[0].payload_bytes_sent, steps * kWide * sizeof(float));
  for (const auto format : {codec::Format::kInt8, codec::Format::kInt4, codec::Format::kBFloat16}) {
    const auto trained = train(in_format(format));
    std::uint64_t frames = 0;  // of both parts
    for (int shard = 0; shard < 2; ++shard)
      frames += PartCodec(in_format(format), shard_part(kWide, shard, 2).size, 0).parameter_bytes();
    for (const Progress& worker : trained.outcome.progress) {
      EXPECT_EQ(worker.payload_bytes_sent, steps * frames);
      EXPECT_EQ(worker.payload_bytes_expected, worker.payload_bytes_sent);
      EXPECT_EQ(worker.dense_buckets, 0);
    }
    EXPECT_EQ(trained.outcome.server_bytes[0] + trained.outcome.server_bytes[1], 2 * steps * frames);
    EXPECT_EQ(trained.outcome.server_bytes, trained.outcome.server_bytes_expected);
    EXPECT_EQ(parameters_of(trained, 0), parameters_of(trained, 1)) << "workers have the same bits";
    EXPECT_NEAR(loss_of(trained), loss_of(dense), 0.02 * loss_of(dense));
  }
}

TEST(CompressedServers, TakeTheLargestOfAGradientAndGiveWholeParameters) {
  const auto dense = train(std::nullopt);
  const auto trained = train(in_format(codec::Format::kFloat32, 0.3));
  const Progress& worker = trained.outcome.progress[0];
  EXPECT_LT(worker.payload_bytes_sent, dense.outcome.progress[0].payload_bytes_sent * 4 / 10);
  EXPECT_EQ(worker.payload_bytes_expected, worker.payload_bytes_sent);
  EXPECT_EQ(trained.outcome.server_bytes, dense.outcome.server_bytes);
  EXPECT_EQ(parameters_of(trained, 0), parameters_of(trained, 1));
  EXPECT_LT(loss_of(trained), 1.5 * loss_of(dense)) << "what was left out came later";
  std::vector<float> at_servers = trained.states[0].parameters;
  at_servers.insert(at_servers.end(), trained.states[1].parameters.begin(),
                    trained.states[1].parameters.end());
  EXPECT_EQ(parameters_of(trained, 0), at_servers);
}

TEST(CompressedServers, AsynchronousWorkersKnowWhatTheyHave) {
  const auto dense = train(std::nullopt, true);
  for (const auto& codec : {in_format(codec::Format::kInt8), in_format(codec::Format::kFloat32, 0.3)}) {
    const auto trained = train(codec, true);
    EXPECT_EQ(parameters_of(trained, 0), parameters_of(trained, 1)) << "they meet at the end of an epoch";
    EXPECT_EQ(trained.outcome.server_bytes, trained.outcome.server_bytes_expected);
    for (const Progress& worker : trained.outcome.progress)
      EXPECT_EQ(worker.payload_bytes_expected, worker.payload_bytes_sent);
    EXPECT_LT(loss_of(trained), 2 * loss_of(dense) + 0.1);
  }
}

TEST(CompressedServers, ACheckpointIsWhatTheServersHave) {
  std::vector<learning::TrainingState> saved;
  CheckpointWriter writer([&](const learning::TrainingState& state) {
    saved.push_back(state);
    return Status();
  });
  const auto trained = train(in_format(codec::Format::kInt4), false, &writer);
  ASSERT_FALSE(saved.empty());
  const auto dense = train(std::nullopt);
  // At a checkpoint nothing is left out, so it is as far as it would be without compression.
  double apart = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(kWide); ++i)
    apart = std::max(apart, std::abs(static_cast<double>(parameters_of(trained, 0)[i]) -
                                     static_cast<double>(parameters_of(dense, 0)[i])));
  EXPECT_LT(apart, 0.05);
  EXPECT_EQ(parameters_of(trained, 0), parameters_of(trained, 1));
}

// A shard with one worker that may push a gradient.
struct Served {
  ShardState state;
  Shard shard;
  explicit Served(const PartCodecOptions& codec)
      : shard({.make_optimizer =
                   [](std::int64_t count) { return learning::make_optimizer(spec::Optimizer{}, count); },
               .codec = codec},
              state) {
    std::vector<float> parameters(kWide, 1.0F);
    const ShardMessage begin{
        .kind = ShardMessage::Kind::kBegin, .total = kWide, .bytes = kWide * sizeof(float)};
    EXPECT_TRUE(shard.check(0, begin));
    EXPECT_TRUE(shard.take(0, begin, std::as_writable_bytes(std::span(parameters))));
    EXPECT_TRUE(shard.next_reply());
  }
  [[nodiscard]] Status push(std::span<std::byte> body, bool frame = true) {
    const ShardMessage head{.kind = ShardMessage::Kind::kPush,
                            .flags = static_cast<std::uint16_t>(frame ? ShardMessage::kFrame : 0),
                            .examples = 1,
                            .total = 1,
                            .bytes = body.size()};
    MUSTER_TRY(shard.check(0, head));
    return shard.take(0, head, body);
  }
};

TEST(CompressedServers, RefuseWhatIsNoFrame) {
  const auto top_k = in_format(codec::Format::kFloat32, 0.1);
  std::vector<std::byte> garbage(300, std::byte{0xFF});
  const Status refused = Served(top_k).push(garbage);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("rank 0 sends a gradient that is no frame"));
  std::vector<std::byte> huge(kWide * sizeof(float) * 3);
  EXPECT_FALSE(Served(top_k).push(huge));
  std::vector<std::byte> short_one(10);
  EXPECT_FALSE(Served(in_format(codec::Format::kInt8)).push(short_one));
}

TEST(CompressedServers, AnswerAWholeGradientWithWholeParameters) {
  Served served(in_format(codec::Format::kInt8));
  std::vector<float> gradient(kWide, 0.5F);
  ASSERT_TRUE(served.push(std::as_writable_bytes(std::span(gradient)), false));
  const auto reply = served.shard.next_reply();
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->head.has(ShardMessage::kFrame));
  EXPECT_EQ(reply->body.size(), kWide * sizeof(float));
}

}  // namespace
}  // namespace muster::worker::test

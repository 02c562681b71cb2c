// tests/device/federation_random_test.cc: a client pod with right keys that says whatever comes to its mind
//
// Goal: the real aggregator neither falls nor grows, and honest clients' rounds go on. Method: threads make
// random calls of every kind, with ids that it has heard of and with made-up ones, well-formed messages in a
// wrong order and bytes that are no messages. MUSTER_RANDOM_SECONDS (2) and MUSTER_RANDOM_SEED (random,
// printed) are the environment's.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <mutex>

#include "common/base/random.h"
#include "tests/device/federation_calls.h"
#include "tests/device/federation_process.h"
#include "tests/support/from_environment.h"

namespace muster {
namespace {

using federation::v1::ModelOffer;
using federation::v1::ModelOfferReply;

// One thread's mind.
class Liar {
 public:
  Liar(const std::string& address, const std::string& uid, std::uint64_t key)
      : random_(key),
        channel_(TestPki::channel(address, {.role = "aggregator", .index = 0, .uid = uid},
                                  shared_test_pki().of_pod("client", 1, uid))),
        stub_(federation::v1::Federation::NewStub(channel_)),
        generic_(channel_) {}

  void speak() {
    switch (random_.below(7)) {
      case 0:
      case 1: return check_in();
      case 2: return download();
      case 3: return upload();
      case 4: return ask_offset();
      case 5: return offer();
      default: return babble();
    }
  }

 private:
  std::string bytes(std::uint64_t most) {
    std::string made(random_.below(most + 1), '\0');
    for (char& byte : made) byte = static_cast<char>(random_.next());
    return made;
  }
  // Protobuf refuses strings that are no UTF-8 by itself; babble() has those.
  std::string text(std::uint64_t most) {
    std::string made(random_.below(most + 1), '\0');
    for (char& byte : made) byte = static_cast<char>(1 + random_.below(127));
    return made;
  }
  std::uint64_t number() {
    switch (random_.below(5)) {
      case 0: return 0;
      case 1: return random_.below(4096);
      case 2: return ~std::uint64_t{0} - random_.below(3);
      case 3: return std::uint64_t{1} << random_.below(64);
      default: return random_.next();
    }
  }
  std::string task_id() {
    if (task_.model_bytes() > 0 && random_.below(4) != 0) return task_.task_id();
    return random_.below(2) == 0 ? text(100) : std::string(32, "0123456789abcdef"[random_.below(16)]);
  }
  std::string digest() { return random_.below(2) == 0 ? text(80) : std::string(64, 'a'); }
  std::unique_ptr<grpc::ClientContext> call() {
    auto context = std::make_unique<grpc::ClientContext>();
    limit(*context, 1s);
    return context;
  }

  void check_in() {
    const auto context = call();
    federation::v1::CheckInRequest request;
    request.set_client(random_.below(3) == 0 ? static_cast<std::int32_t>(number())
                                             : static_cast<std::int32_t>(2 + random_.below(2)));
    request.set_hold_ms(random_.below(3) == 0 ? static_cast<std::int64_t>(number()) : 100);
    if (random_.below(8) == 0) request.set_data_sha256(text(2000));
    CheckInReply reply;
    if (stub_->CheckIn(context.get(), request, &reply).ok() && reply.has_task()) task_ = reply.task();
  }
  void download() {
    const auto context = call();
    federation::v1::DownloadRequest request;
    request.set_task_id(task_id());
    if (random_.below(2) == 0) request.set_offset(number());
    if (random_.below(2) == 0) request.set_model_sha256(digest());
    const auto reader = stub_->Download(context.get(), request);
    Chunk chunk;
    for (std::uint64_t left = random_.below(3); left > 0 && reader->Read(&chunk); --left) {
    }
    context->TryCancel();
    static_cast<void>(reader->Finish());
  }
  // True to the protocol in most fields, so that it gets far.
  UploadHeader header(std::span<const float> update) {
    UploadHeader made;
    made.set_task_id(task_id());
    made.set_examples(random_.below(2) == 0 ? 1 : number());
    made.set_steps(random_.below(2) == 0 ? 1 : number());
    made.set_update_bytes(random_.below(3) == 0 ? number() : update.size_bytes());
    made.set_update_sha256(random_.below(3) == 0 ? digest() : learning::sha256_hex(std::as_bytes(update)));
    if (random_.below(3) == 0) made.set_offset(number());
    if (random_.below(4) == 0) made.set_weight(std::bit_cast<double>(random_.next()));
    if (random_.below(4) == 0) made.set_loss(std::bit_cast<double>(random_.next()));
    if (random_.below(4) == 0) made.set_accuracy(std::bit_cast<double>(random_.next()));
    made.set_partial(random_.below(2) == 0);
    if (random_.below(8) == 0) made.set_failure(text(3000));
    return made;
  }
  void upload() {
    std::vector<float> update(random_.below(3) == 0 ? random_.below(2000)
                                                    : task_.model_bytes() / sizeof(float));
    if (random_.below(2) == 0)  // else nought: a right update, which moves nothing
      for (float& value : update) value = std::bit_cast<float>(static_cast<std::uint32_t>(random_.next()));
    const auto context = call();
    UploadReply reply;
    const auto writer = stub_->Upload(context.get(), &reply);
    UploadRequest request;
    if (random_.below(8) != 0) *request.mutable_header() = header(update);
    bool writing = writer->Write(request);
    const auto all = std::as_bytes(std::span<const float>(update));
    for (std::size_t at = 0; writing && at < all.size();) {
      const auto part = all.subspan(at, std::min<std::size_t>(1 + random_.below(4096), all.size() - at));
      if (random_.below(20) == 0) {
        *request.mutable_header() = header(update);
      } else {
        request.mutable_chunk()->set_offset(random_.below(20) == 0 ? number() : at);
        request.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(part.data()),
                                                        part.size());
        at += part.size();
      }
      writing = writer->Write(request) && random_.below(30) != 0;
    }
    if (random_.below(3) == 0) {
      context->TryCancel();
    } else {
      writer->WritesDone();
    }
    static_cast<void>(writer->Finish());
  }
  void ask_offset() {
    const auto context = call();
    federation::v1::UploadOffsetRequest request;
    request.set_task_id(task_id());
    if (random_.below(2) == 0) request.set_update_sha256(digest());
    federation::v1::UploadOffsetReply reply;
    static_cast<void>(stub_->UploadOffset(context.get(), request, &reply));
  }
  void offer() {
    const auto context = call();
    ModelOfferReply reply;
    const auto writer = stub_->OfferModel(context.get(), &reply);
    ModelOffer request;
    for (std::uint64_t left = random_.below(4); left > 0; --left) {
      if (random_.below(2) == 0) {
        request.mutable_tensors()->set_tensors(bytes(3000));
        request.mutable_tensors()->set_value_bytes(number());
      } else {
        request.mutable_chunk()->set_offset(number());
        request.mutable_chunk()->set_data(bytes(5000));
      }
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    static_cast<void>(writer->Finish());
  }
  void babble() {
    static constexpr const char* kMethods[] = {"CheckIn",      "Download",   "Upload",
                                               "UploadOffset", "OfferModel", "Sing"};
    const std::string said = bytes(20'000);
    const grpc::Slice slice(said);
    const grpc::ByteBuffer request(&slice, 1);
    const auto context = call();
    grpc::CompletionQueue queue;
    const std::string method = std::string("/muster.federation.v1.Federation/") + kMethods[random_.below(6)];
    const auto reader = generic_.PrepareUnaryCall(context.get(), method, request, &queue);
    reader->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    reader->Finish(&reply, &status, this);
    void* tag = nullptr;
    bool ok = false;
    static_cast<void>(queue.Next(&tag, &ok));
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
  }

  Random random_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<FederationStub> stub_;
  grpc::GenericStub generic_;
  Task task_;  // the newest that it was given
};

TEST_F(FederationProcess, APodThatSaysWhateverComesToItsMindHoldsUpNobodyAndCostsNoMemory) {
  const std::uint64_t seed = from_environment("MUSTER_RANDOM_SEED", std::random_device{}());
  const auto time = std::chrono::seconds(from_environment("MUSTER_RANDOM_SECONDS", 2));
  constexpr std::uint64_t kThreads = 4;
  constexpr std::int64_t kGrowthKib = 48 * 1024;  // connections, calls under way, what malloc keeps
  RecordProperty("seed", static_cast<int>(seed));
  std::cout << "MUSTER_RANDOM_SEED=" << seed << '\n';
  federation_.rounds = 1'000'000;
  federation_.clients = 4;
  federation_.clients_per_pod = 2;
  federation_.training.dataset.synthetic.devices = 4;
  federation_.cohort = {.size = 2, .over_selection = 2.0, .minimum = 1};
  federation_.stragglers.deadline_seconds = 1;
  const auto server = aggregator();
  const auto honest = device(0);
  const auto now = server->until(committed(5));
  ASSERT_TRUE(now);
  const std::int64_t quiet_kib = status_kib(server->pid(), "VmHWM");
  std::atomic<std::uint64_t> calls = 0;
  {
    std::vector<std::jthread> liars;
    for (std::uint64_t i = 0; i < kThreads; ++i) {
      liars.emplace_back([&, i](const std::stop_token& stop) {
        Liar liar(server->ip() + ":8471", kUid, hash_key(seed, i));
        while (!stop.stop_requested()) {
          liar.speak();
          ++calls;
        }
      });
    }
    const auto end = std::chrono::steady_clock::now() + time;
    std::int64_t round = now->aggregator().round();
    do {  // rounds go on meanwhile
      const auto next = server->until(committed(round + 1), std::chrono::seconds(30));
      ASSERT_TRUE(next) << "no round after " << round << "; seed " << seed;
      round = next->aggregator().round();
    } while (std::chrono::steady_clock::now() < end);
  }
  EXPECT_GT(calls, 20U) << "seed " << seed;
  const auto after = server->until([](const auto&) { return true; });
  ASSERT_TRUE(after) << "it has fallen; seed " << seed;
  EXPECT_TRUE(server->until(committed(after->aggregator().round() + 5))) << "the honest go on; seed " << seed;
  EXPECT_FALSE(honest->wait_exit(std::chrono::seconds(0))) << honest->last_words();
  EXPECT_TRUE(status_kib(server->pid(), "VmHWM") < quiet_kib + kGrowthKib || !kMemoryIsOurs)
      << status_kib(server->pid(), "VmHWM") << " KiB, " << quiet_kib << " before; seed " << seed;
}

}  // namespace
}  // namespace muster

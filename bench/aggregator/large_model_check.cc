// bench/aggregator/large_model_check.cc: a model of more than 2 GiB goes down, an update of as much goes up,
// and each value of the next model is what it must be, past byte 2^31, too
//   large_model_check [MODEL_BYTES]   (2,300,000,000); it takes five times as much memory, and as much disk
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "bench/aggregator/real_federation.h"
#include "common/base/random.h"

namespace {

using namespace muster;  // NOLINT: a program of one file

constexpr std::int64_t kLong = 3'600;  // seconds: the machine may be slow

// The counter's value at `i`: nothing repeats at any distance that an offset could be off by.
float value_at(std::uint64_t i) { return static_cast<float>(mix64(i) >> 40) * 0x1p-30F; }

std::shared_ptr<grpc::ClientContext> patient() {
  auto context = std::make_shared<grpc::ClientContext>();
  limit(*context, std::chrono::seconds(kLong));
  return context;
}

// Calls see(offset, values) for each chunk.
template <typename See>
bool download_through(FederationStub& stub, const std::string& task, const See& see) {
  const auto context = patient();
  federation::v1::DownloadRequest request;
  request.set_task_id(task);
  const auto reader = stub.Download(context.get(), request);
  Chunk chunk;
  while (reader->Read(&chunk)) {
    std::vector<float> values(chunk.data().size() / sizeof(float));
    std::memcpy(values.data(), chunk.data().data(), chunk.data().size());
    see(chunk.offset() / sizeof(float), values);
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) fmt::print(stderr, "download: {}\n", status.error_message());
  return status.ok();
}

// The counter's values as a whole vector would be sent.
template <typename Take>
void for_each_chunk(std::uint64_t count, const Take& take) {
  std::vector<float> part;
  for (std::uint64_t at = 0; at < count; at += part.size()) {
    part.resize(std::min<std::uint64_t>(kUploadChunkBytes / sizeof(float), count - at));
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = value_at(at + i);
    if (!take(at, part)) return;
  }
}

bool upload_counter(FederationStub& stub, const Task& task, std::uint64_t count) {
  learning::Sha256 sha256;
  for_each_chunk(count, [&](std::uint64_t, const std::vector<float>& part) {
    sha256.update(std::as_bytes(std::span(part)));
    return true;
  });
  const auto context = patient();
  UploadReply reply;
  const auto writer = stub.Upload(context.get(), &reply);
  UploadRequest request;
  request.mutable_header()->set_task_id(task.task_id());
  request.mutable_header()->set_examples(1);
  request.mutable_header()->set_steps(1);
  request.mutable_header()->set_update_bytes(count * sizeof(float));
  request.mutable_header()->set_update_sha256(sha256.hex());
  writer->Write(request);
  for_each_chunk(count, [&](std::uint64_t at, const std::vector<float>& part) {
    request.mutable_chunk()->set_offset(at * sizeof(float));
    request.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(part.data()),
                                                    part.size() * sizeof(float));
    return writer->Write(request);
  });
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (status.ok() && reply.verdict() == UploadReply::ACCEPTED) return true;
  fmt::print(stderr, "upload: {} {}\n", status.error_message(), reply.reason());
  return false;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::int64_t asked = argc > 1 ? std::atoll(argv[1]) : 2'300'000'000;
  if (argc > 2 || asked < 4096) {
    fmt::print(stderr, "usage: large_model_check [MODEL_BYTES]\n");
    return 2;
  }
  const RealFederation federation(federation_of(1, asked, 2));
  const auto first = federation.begin_round();
  const std::uint64_t count = first[0].model_bytes() / sizeof(float);
  std::vector<float> initial(count);
  if (!download_through(
          federation.stub_of(0), first[0].task_id(), [&](std::uint64_t at, const std::vector<float>& values) {
            std::copy(values.begin(), values.end(), initial.begin() + static_cast<std::ptrdiff_t>(at));
          }))
    return 1;
  if (!upload_counter(federation.stub_of(0), first[0], count)) return 1;
  const auto second = federation.begin_round();
  if (second.empty()) return 1;
  std::uint64_t seen = 0;
  std::uint64_t wrong = 0;
  std::uint64_t past = 0;
  const bool whole = download_through(
      federation.stub_of(0), second[0].task_id(), [&](std::uint64_t at, const std::vector<float>& values) {
        for (std::size_t i = 0; i < values.size(); ++i) {
          const float before = initial[at + i];
          const auto next =
              static_cast<float>(static_cast<double>(before) + static_cast<double>(value_at(at + i)));
          wrong += values[i] == next ? 0 : 1;
          past += (at + i) * sizeof(float) >= std::uint64_t{1} << 31 ? 1 : 0;
          ++seen;
        }
      });
  const std::int64_t peak_kib =
      status_kib(federation.pid(), "VmHWM") - status_kib(federation.pid(), "RssFile");
  fmt::print(
      "model of {} bytes: {} values came back, {} of them past byte 2^31, {} wrong; the aggregator's peak is "
      "{:.2f} models\n",
      count * sizeof(float), seen, past, wrong,
      static_cast<double>(peak_kib) * 1024 / static_cast<double>(count * sizeof(float)));
  return whole && seen == count && wrong == 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\n", "large_model_check", error.what());
  return 1;
}

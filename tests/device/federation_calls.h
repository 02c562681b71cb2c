#pragma once  // tests/device/federation_calls.h: what a client says to an aggregator, call by call
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "learning/sha256.h"
#include "proto/federation.grpc.pb.h"
#include "tests/support/test_pki.h"

namespace muster {

using namespace std::chrono_literals;
using federation::v1::CheckInReply;
using federation::v1::Chunk;
using federation::v1::Task;
using federation::v1::UploadHeader;
using federation::v1::UploadReply;
using federation::v1::UploadRequest;
using FederationStub = federation::v1::Federation::Stub;

inline constexpr std::size_t kUploadChunkBytes = 256 << 10;

// Of the holder of `credentials`, to the aggregator of the federation `uid`.
inline std::unique_ptr<FederationStub> federation_stub(const std::string& address, const std::string& uid,
                                                       const Credentials& credentials,
                                                       const grpc::ChannelArguments& arguments = {}) {
  return federation::v1::Federation::NewStub(
      TestPki::channel(address, {.role = "aggregator", .index = 0, .uid = uid}, credentials, arguments));
}

inline void limit(grpc::ClientContext& context, std::chrono::milliseconds time = 20s) {
  context.set_deadline(std::chrono::system_clock::now() + time);
}

inline grpc::Status check_in(FederationStub& stub, std::int32_t client, CheckInReply& reply,
                             std::int64_t hold_ms = 10'000) {
  grpc::ClientContext context;
  limit(context);
  federation::v1::CheckInRequest request;
  request.set_client(client);
  request.set_hold_ms(hold_ms);
  return stub.CheckIn(&context, request, &reply);
}

// Checks clients 0 to `count` - 1 in at once; what each of them is answered.
inline std::vector<CheckInReply> check_in_all(
    std::int32_t count, const std::function<std::shared_ptr<FederationStub>(std::int32_t)>& stub_of_client,
    std::int64_t hold_ms = 10'000) {
  std::vector<CheckInReply> replies(static_cast<std::size_t>(count));
  std::vector<std::thread> calls;
  calls.reserve(replies.size());
  for (std::int32_t client = 0; client < count; ++client) {
    calls.emplace_back([&, client] {
      const auto stub = stub_of_client(client);
      static_cast<void>(check_in(*stub, client, replies[static_cast<std::size_t>(client)], hold_ms));
    });
  }
  for (std::thread& call : calls) call.join();
  return replies;
}

// The task's model, if it is asked for.
inline grpc::Status download(FederationStub& stub, const std::string& task_id,
                             std::vector<float>* model = nullptr) {
  grpc::ClientContext context;
  limit(context);
  federation::v1::DownloadRequest request;
  request.set_task_id(task_id);
  auto reader = stub.Download(&context, request);
  std::string bytes;
  Chunk chunk;
  while (reader->Read(&chunk))
    if (model != nullptr) bytes += chunk.data();
  if (model != nullptr) {
    model->resize(bytes.size() / sizeof(float));
    std::memcpy(model->data(), bytes.data(), model->size() * sizeof(float));
  }
  return reader->Finish();
}

inline UploadHeader header_of(const Task& task, std::span<const float> update) {
  UploadHeader header;
  header.set_task_id(task.task_id());
  header.set_examples(1);
  header.set_steps(1);
  header.set_update_bytes(update.size_bytes());
  header.set_update_sha256(learning::sha256_hex(std::as_bytes(update)));
  return header;
}

// Sends the header and `update` from header.offset() on, up to `until`, then breaks the call or ends it.
inline grpc::Status upload(FederationStub& stub, const UploadHeader& header, std::span<const float> update,
                           UploadReply& reply, std::uint64_t until = ~std::uint64_t{0},
                           bool break_call = false) {
  grpc::ClientContext context;
  limit(context);
  auto writer = stub.Upload(&context, &reply);
  UploadRequest request;
  *request.mutable_header() = header;
  bool writing = writer->Write(request);
  const auto bytes = std::as_bytes(update);
  std::uint64_t offset = header.offset();
  while (writing && offset < std::min<std::uint64_t>(until, bytes.size())) {
    const auto part = bytes.subspan(offset, std::min<std::size_t>(kUploadChunkBytes, bytes.size() - offset));
    request.mutable_chunk()->set_offset(offset);
    request.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(part.data()), part.size());
    writing = writer->Write(request);
    offset += part.size();
  }
  if (break_call) {
    context.TryCancel();
  } else {
    writer->WritesDone();
  }
  return writer->Finish();
}

inline grpc::Status upload_offset(FederationStub& stub, const std::string& task_id, std::uint64_t& offset) {
  grpc::ClientContext context;
  limit(context);
  federation::v1::UploadOffsetRequest request;
  request.set_task_id(task_id);
  federation::v1::UploadOffsetReply reply;
  grpc::Status status = stub.UploadOffset(&context, request, &reply);
  offset = reply.offset();
  return status;
}

template <typename Fact>
[[nodiscard]] bool eventually(Fact fact, std::chrono::seconds limit = 20s) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!fact()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace muster

// device/shell/model_offer.cc: asks whether the values are wanted, and sends them in chunks
#include "device/shell/model_offer.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "device/shell/transfer.h"
#include "device/shell/wire.h"
#include "proto/federation.grpc.pb.h"

namespace muster::device {
namespace {

using federation::v1::ModelOffer;
using federation::v1::ModelOfferReply;
using std::chrono::milliseconds;

constexpr std::size_t kChunkBytes = 512 << 10;  // the aggregator refuses less than 64 KiB before the last
constexpr std::size_t kTensorsMax = 900 << 10;  // in one message, as the protocol says
constexpr milliseconds kPause{300};
constexpr milliseconds kCallTime{600'000};

// With values where they are wanted. Errors: of the call.
Status call(federation::v1::Federation::Stub& stub, const std::string& tensors,
            std::span<const std::byte> values, bool& wanted) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTime);
  ModelOfferReply reply;
  auto writer = stub.OfferModel(&context, &reply);
  ModelOffer message;
  message.mutable_tensors()->set_tensors(tensors);
  message.mutable_tensors()->set_value_bytes(values.size());
  bool writing = writer->Write(message);
  for (std::size_t at = 0; writing && at < values.size(); at += kChunkBytes) {
    const auto part = values.subspan(at, std::min(kChunkBytes, values.size() - at));
    message.mutable_chunk()->set_offset(at);
    message.mutable_chunk()->mutable_data()->assign(reinterpret_cast<const char*>(part.data()), part.size());
    writing = writer->Write(message);  // false: the answer is there already
  }
  if (writing) writer->WritesDone();
  const grpc::Status ended = writer->Finish();
  wanted = reply.wanted();
  return ended.ok() ? Status() : Status(error_of(ended));
}

}  // namespace

Status offer_model(const std::string& aggregator, const Credentials& credentials, const std::string& proxy,
                   const ModelToOffer& model, Deadline deadline,
                   const std::function<bool(milliseconds)>& stopped) {
  const std::vector<std::byte> bytes = program::write_tensors(model.tensors);
  if (bytes.size() > kTensorsMax)
    return invalid_argument(
        "the names and shapes of the model's tensors are longer than 900 KiB; shorten them");
  const std::string tensors(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto stub = federation::v1::Federation::NewStub(make_channel(aggregator, credentials, proxy));
  for (;;) {
    bool wanted = false;
    Status told = call(*stub, tensors, {}, wanted);
    if (told && wanted) told = call(*stub, tensors, std::as_bytes(model.values), wanted);
    if (told) return {};
    const Code code = told.error().code;
    if (code == Code::kInvalidArgument || code == Code::kFailedPrecondition ||
        code == Code::kPermissionDenied || code == Code::kUnimplemented)
      return told;  // no later answer is another one
    if (std::chrono::steady_clock::now() >= deadline)
      return unavailable("the aggregator does not take this program's model: " + told.error().message);
    if (stopped(kPause)) return aborted("the clients were told to stop");
  }
}

}  // namespace muster::device

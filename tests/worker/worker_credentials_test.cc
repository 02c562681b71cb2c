// tests/worker/worker_credentials_test.cc: bin/muster-worker and its keys: which it needs, whom it turns away
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "common/platform/volume_map.h"
#include "pod/pod_contract.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_pki.h"
#include "tests/worker/worker_pod.h"

namespace muster::worker::test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kIp = "127.9.8.6";

std::map<std::string, std::string> keys_at(const std::filesystem::path& folder) {
  return {{kVolumeMapVariable, volume_map_text({{kCredentialsFolder, folder.string()}})}};
}

TEST(WorkerCredentials, WithoutKeysItEndsAndNamesTheFile) {
  const TemporaryFolder folder;
  const std::filesystem::path keys = folder.path() / "empty";
  std::filesystem::create_directories(keys);
  WorkerPod pod(kIp, folder.path(), keys_at(keys));
  const Exit exit = pod.wait();
  EXPECT_EQ(exit.code, kExitInvalid);
  EXPECT_THAT(exit.last_words, HasSubstr((keys / kKeyFile).string()));
  EXPECT_THAT(exit.last_words, HasSubstr("is missing"));
}

TEST(WorkerCredentials, WithTheKeysOfAnotherPodItEndsAndTellsBothNames) {
  const TemporaryFolder folder;
  WorkerPod pod(kIp, folder.path(), {{kIndexVariable, "7"}});  // the keys are those of 0
  const Exit exit = pod.wait();
  EXPECT_EQ(exit.code, kExitInvalid);
  EXPECT_THAT(exit.last_words, HasSubstr("names worker-0."));
  EXPECT_THAT(exit.last_words, HasSubstr("the pod is worker-7."));
}

TEST(WorkerCredentials, AnExpiredCertificateIsWorthAnotherTry) {
  const TemporaryFolder folder;
  const std::filesystem::path keys = folder.path() / "expired";
  TestPki::write(keys, shared_test_pki().expired({.role = "worker", .index = 0, .uid = "0b7c9a1e-test"}));
  WorkerPod pod(kIp, folder.path(), keys_at(keys));
  const Exit exit = pod.wait();
  EXPECT_EQ(exit.code, kExitRetry);
  EXPECT_THAT(exit.last_words, HasSubstr("has expired"));
}

TEST(WorkerCredentials, StrangersAreCountedByReasonAndTheOperatorIsServed) {
  const TemporaryFolder folder;
  WorkerPod pod(kIp, folder.path());
  const PeerName name{.role = "worker", .index = 0, .uid = "0b7c9a1e-test"};
  const auto waiting = [](const auto& status) { return status.phase() == control::v1::PHASE_WAITING; };
  EXPECT_EQ(pod.watch(waiting).phase(), control::v1::PHASE_WAITING);
  const auto configure = [&](const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    control::v1::ConfigureReply reply;
    return control::v1::Agent::NewStub(channel)->Configure(&context, control::v1::Assignment(), &reply);
  };
  const std::string address = std::string(kIp) + ":8470";
  const TestPki other;
  Credentials::Pem foreign = other.pem(operator_name());
  foreign.authority = shared_test_pki().authority().certificate();
  grpc::ChannelArguments arguments;
  Credentials::expect(name, arguments);
  EXPECT_FALSE(
      configure(grpc::CreateCustomChannel(address,
                                          grpc::SslCredentials({.pem_root_certs = foreign.authority,
                                                                .pem_private_key = foreign.key,
                                                                .pem_cert_chain = foreign.certificate}),
                                          arguments))
          .ok());
  EXPECT_FALSE(configure(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())).ok());
  EXPECT_EQ(configure(shared_test_pki().channel(address, name, shared_test_pki().of(name))).error_code(),
            grpc::StatusCode::PERMISSION_DENIED)
      << "a worker is not the operator";
  for (const char* series : {"muster_control_calls_refused_total{reason=\"handshake\"} ",
                             "muster_control_calls_refused_total{reason=\"plaintext\"} ",
                             "muster_control_calls_refused_total{reason=\"name\"} 1"}) {
    std::string page;
    const auto counted = [&] {
      page = pod.metrics();
      const std::size_t at = page.find(series);
      return at != std::string::npos && page[page.find("} ", at) + 2] != '0';
    };
    const Deadline deadline = deadline_after(std::chrono::seconds(30));
    while (!counted() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_THAT(page, HasSubstr(series));
  }
  EXPECT_EQ(pod.watch(waiting).phase(), control::v1::PHASE_WAITING);
}

}  // namespace
}  // namespace muster::worker::test

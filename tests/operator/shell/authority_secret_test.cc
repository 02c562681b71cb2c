// tests/operator/shell/authority_secret_test.cc: Secret muster-ca, against a small server that keeps one
#include "operator/shell/authority_secret.h"

#include <gmock/gmock.h>

#include "common/base/base64.h"
#include "tests/support/fake_transport.h"

namespace muster::op {
namespace {

using kube::FakeTransport;
using kube::HttpRequest;
using kube::HttpResponse;
using ::testing::HasSubstr;

const WallTime kNow = std::chrono::system_clock::now();

HttpResponse refusal(int code, const std::string& reason, const std::string& message) {
  const Json body{{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", message}};
  return {.status = code, .headers = {}, .body = body.dump()};
}

class AuthoritySecret : public ::testing::Test {
 protected:
  AuthoritySecret() {
    transport_->otherwise([this](const HttpRequest& request) -> FakeTransport::Answer {
      asked_.push_back(request.method + " " + request.target);
      if (request.method == "POST") {
        if (!namespace_exists_) return refusal(404, "NotFound", "namespaces \"muster-system\" not found");
        if (!stored_.is_null()) return refusal(409, "AlreadyExists", "secrets \"muster-ca\" already exists");
        stored_ = rival_.is_null() ? Json::parse(request.body) : rival_;
        if (!rival_.is_null()) return refusal(409, "AlreadyExists", "secrets \"muster-ca\" already exists");
        return HttpResponse{.status = 201, .headers = {}, .body = stored_.dump()};
      }
      if (stored_.is_null()) return refusal(404, "NotFound", "secrets \"muster-ca\" not found");
      return HttpResponse{.status = 200, .headers = {}, .body = stored_.dump()};
    });
  }
  Result<Issuer> load() { return load_issuer(client_, "muster-system", kNow); }

  std::vector<std::string> asked_;
  bool namespace_exists_ = true;
  Json stored_;
  Json rival_;  // what another replica creates just before us
  std::shared_ptr<FakeTransport> transport_ = std::make_shared<FakeTransport>();
  kube::Client client_{transport_, nullptr, {}};
};

TEST_F(AuthoritySecret, IsMadeOnceAndReadFromThenOn) {
  const auto first = load();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(stored_["metadata"]["name"], "muster-ca");
  EXPECT_EQ(stored_["immutable"], true);
  const auto second = load();
  ASSERT_TRUE(second);
  EXPECT_EQ(first->id(), second->id());
  EXPECT_EQ(*first->membership_key("u-1", 3), *second->membership_key("u-1", 3))
      << "the same after a restart, and on every replica";
  const std::string path = "/api/v1/namespaces/muster-system/secrets";
  EXPECT_EQ(asked_, (std::vector<std::string>{"GET " + path + "/muster-ca", "POST " + path,
                                              "GET " + path + "/muster-ca", "GET " + path + "/muster-ca"}))
      << "never a list, never a watch, never another name";
}

TEST_F(AuthoritySecret, TheFirstReplicaThatCreatesItWins) {
  const auto theirs = load();
  rival_ = std::exchange(stored_, Json());
  const auto ours = load();
  ASSERT_TRUE(ours) << ours.error().message;
  EXPECT_EQ(ours->id(), theirs->id());
}

TEST_F(AuthoritySecret, IsConfirmedWhileItIsTheSecretsAndAskedForSeldom) {
  const auto issuer = load();
  AuthorityCheck check(client_, "muster-system", issuer->id());
  const Instant now{};
  asked_.clear();
  EXPECT_TRUE(check.confirm(AuthorityDoubt::kPodsOfAnother, now, kNow));
  EXPECT_TRUE(check.confirm(AuthorityDoubt::kPodsOfAnother, now + std::chrono::seconds(9), kNow));
  EXPECT_EQ(asked_.size(), 1U);
  EXPECT_TRUE(check.confirm(AuthorityDoubt::kPodsOfAnother, now + std::chrono::seconds(11), kNow));
  EXPECT_EQ(asked_.size(), 2U);
  EXPECT_FALSE(check.superseded());
}

TEST_F(AuthoritySecret, OfAnotherOperatorSupersedesOurs) {
  const std::string ours = load()->id();
  stored_ = Json();
  AuthorityCheck gone(client_, "muster-system", ours);
  EXPECT_THAT(gone.confirm(AuthorityDoubt::kPodsOfAnother, {}, kNow).error().message,
              HasSubstr("Secret muster-system/muster-ca is gone"));
  const std::string theirs = load()->id();
  AuthorityCheck check(client_, "muster-system", ours);
  const Status answer = check.confirm(AuthorityDoubt::kPodsOfAnother, {}, kNow);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(answer.error().message, HasSubstr("is of authority " + theirs));
  EXPECT_TRUE(check.superseded());
}

TEST_F(AuthoritySecret, ThatIsGoneSpeaksAgainstOursOnlyBesidePodsOfAnother) {
  const auto issuer = load();
  AuthorityCheck check(client_, "muster-system", issuer->id());
  const Json ours = std::exchange(stored_, Json());
  EXPECT_TRUE(check.confirm(AuthorityDoubt::kPodsLeave, {}, kNow)) << "somebody deletes a pod, as users do";
  EXPECT_FALSE(check.confirm(AuthorityDoubt::kPodsOfAnother, {}, kNow)) << "that was no confirmation";
}

TEST_F(AuthoritySecret, OfAnotherOperatorSupersedesOursWhenItDeletesOurPods) {
  const std::string ours = load()->id();
  stored_ = Json();
  ASSERT_NE(load()->id(), ours);
  AuthorityCheck check(client_, "muster-system", ours);
  const Status answer = check.confirm(AuthorityDoubt::kPodsLeave, {}, kNow);
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("somebody deletes pods that have keys of authority " + ours));
}

TEST_F(AuthoritySecret, AMissingNamespaceIsNamedWithTheRemedy) {
  namespace_exists_ = false;
  const auto issuer = load();
  ASSERT_FALSE(issuer);
  EXPECT_EQ(issuer.error().code, Code::kNotFound);
  EXPECT_THAT(issuer.error().message, HasSubstr("kubectl create namespace muster-system"));
}

TEST_F(AuthoritySecret, ABrokenOneIsRefusedWithTheRemedyAndWithoutItsContent) {
  ASSERT_TRUE(load());
  const Json good = stored_;
  const std::string key = good["data"]["ca.key"];
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, Json>>{{"ca.key", ""},
                                                 {"ca.key", "!"},
                                                 {"ca.crt", key},
                                                 {"data.key", base64_encode("short")},
                                                 {"ca.crt", 7}}) {
    stored_ = good;
    stored_["data"][name] = value;
    const auto issuer = load();
    ASSERT_FALSE(issuer) << name << " " << value;
    EXPECT_EQ(issuer.error().code, Code::kDataLoss);
    EXPECT_THAT(issuer.error().message, HasSubstr("Secret muster-system/muster-ca cannot be used"));
    EXPECT_THAT(issuer.error().message,
                HasSubstr("kubectl --namespace muster-system delete secret muster-ca"));
    EXPECT_THAT(issuer.error().message, ::testing::Not(HasSubstr(key.substr(0, 24))));
  }
  stored_ = Json::object();
  EXPECT_EQ(load().error().code, Code::kDataLoss);
}

TEST(Issuer, MakesTheKeysOfABlockAndNamesEachPod) {
  const auto issuer = Issuer::load(*Issuer::make_secrets(kNow), kNow);
  ASSERT_TRUE(issuer) << issuer.error().message;
  EXPECT_TRUE(issuer->credentials().name().is_operator());
  const auto files = issuer->keys_of("u-1", "client", 16, 16, kNow);
  ASSERT_TRUE(files);
  EXPECT_EQ(files->size(), 33U);
  std::size_t bytes = 0;
  for (const auto& [name, pem] : *files) bytes += name.size() + pem.size();
  EXPECT_LT(bytes, 24U << 10) << "a block is a small Secret";
  const auto pod = Credentials::from_pem(
      {.key = files->at("31.key"), .certificate = files->at("31.crt"), .authority = files->at("ca.crt")},
      kNow);
  ASSERT_TRUE(pod) << pod.error().message;
  EXPECT_TRUE(pod->check_name("client", 31, "u-1"));
}

TEST(Issuer, AMembershipKeyBelongsToOneMembershipOfOneObject) {
  const auto issuer = Issuer::load(*Issuer::make_secrets(kNow), kNow);
  const std::string key = *issuer->membership_key("u-1", 1);
  EXPECT_EQ(key.size(), 32U);
  EXPECT_NE(key, *issuer->membership_key("u-1", 2));
  EXPECT_NE(key, *issuer->membership_key("u-2", 1));
  EXPECT_NE(key, *Issuer::load(*Issuer::make_secrets(kNow), kNow)->membership_key("u-1", 1));
}

}  // namespace
}  // namespace muster::op

// local/tests/runtime/addresses_test.cc: an address of its own for each pod, and why there is none
#include "local/runtime/addresses.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

namespace muster::local {
namespace {

TEST(AddressPool, GivesEachPodAnAddressOfItsOwn) {
  AddressPool pool(1, {});
  std::set<std::string> seen;
  for (int i = 0; i < 600; ++i) {
    const auto address = pool.take();
    ASSERT_TRUE(address) << address.error().message;
    EXPECT_TRUE(address->starts_with("127."));
    EXPECT_TRUE(seen.insert(*address).second) << *address;
  }
}

TEST(AddressPool, SaysWhichPortAnotherProgramHasOnAllAddresses) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;  // 0.0.0.0 and a free port
  socklen_t size = sizeof any;
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&any), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&any), &size), 0);
  const int port = ntohs(any.sin_port);
  AddressPool pool(1, {port});
  const auto refused = pool.take();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_NE(refused.error().message.find("0.0.0.0:" + std::to_string(port)), std::string::npos)
      << refused.error().message;
  ::close(listener);
  EXPECT_TRUE(pool.take());
}

}  // namespace
}  // namespace muster::local

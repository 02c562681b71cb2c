// tests/common/http_message_test.cc: heads of requests from anybody
#include "common/platform/http_message.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(HttpHead, IsRead) {
  const auto request = parse_head("POST /a?b HTTP/1.1\r\nHost: x\r\nAuthorization:  Bearer t \r\nX-Empty:");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->method, "POST");
  EXPECT_EQ(request->target, "/a?b");
  EXPECT_EQ(request->header("authorization"), "Bearer t");
  EXPECT_EQ(request->header("x-empty"), "");
  EXPECT_EQ(request->headers.size(), 3U);
}

TEST(HttpHead, OfAnythingElseIsRefused) {
  std::string many = "GET / HTTP/1.1";
  for (int i = 0; i < 65; ++i) many += "\r\na: b";
  for (const std::string& bad :
       {std::string(), std::string("GET"), std::string("GET /"), std::string("GET / HTTP/2"),
        std::string("GET  HTTP/1.1"), std::string("G\x01T / HTTP/1.1"), std::string("GET /\x7f HTTP/1.1"),
        std::string("GET / HTTP/1.1\r\nno colon"), std::string("GET / HTTP/1.1\r\n: empty"),
        std::string("GET / HTTP/1.1\r\n folded: x"), many})
    EXPECT_FALSE(parse_head(bad)) << bad;
}

std::size_t size_of(const std::string& headers, Code code = Code::kOk, std::size_t excess_wanted = 0) {
  const auto request = parse_head("POST / HTTP/1.1\r\n" + headers);
  EXPECT_TRUE(request);
  std::size_t excess = 0;
  const auto bytes = body_bytes(*request, 100, excess);
  EXPECT_EQ(bytes ? Code::kOk : bytes.error().code, code) << headers;
  EXPECT_EQ(excess, excess_wanted);
  return bytes.value_or(0);
}

TEST(HttpBody, HasOneLengthOrNone) {
  EXPECT_EQ(size_of("Host: x"), 0U);
  EXPECT_EQ(size_of("Content-Length: 100"), 100U);
  size_of("Content-Length: 101", Code::kOutOfRange, 101);
  size_of("Content-Length: -1", Code::kInvalidArgument);
  size_of("Content-Length: 1x", Code::kInvalidArgument);
  size_of("Content-Length:", Code::kInvalidArgument);
  size_of("Content-Length: 99999999999999999999999", Code::kInvalidArgument);
  size_of("Content-Length: 5\r\nContent-Length: 6", Code::kInvalidArgument);
  size_of("Transfer-Encoding: chunked", Code::kUnimplemented);
}

TEST(HttpAnswer, IsReadAsItIsWritten) {
  const HttpAnswer answer{.code = 422, .type = "application/json", .body = "{}\n"};
  const auto read = parse_answer(to_text(answer));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->code, 422);
  EXPECT_EQ(read->type, "application/json");
  EXPECT_EQ(read->body, "{}\n");
  const std::string whole = to_text(answer);
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(parse_answer(whole.substr(0, size)));
}

}  // namespace
}  // namespace muster

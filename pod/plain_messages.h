#pragma once  // pod/plain_messages.h: ends of gRPC that take no compressed messages
#include <grpcpp/grpcpp.h>

namespace muster {

// gRPC compares a message's size with the permitted one before it inflates it, so that a compressed message
// of 1 MiB may take 1 GiB. Nothing of ours compresses: who does is answered UNIMPLEMENTED.
inline void take_plain_messages(grpc::ServerBuilder& builder) {
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
}

inline void take_plain_messages(grpc::ChannelArguments& arguments) {
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
  arguments.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
}

}  // namespace muster

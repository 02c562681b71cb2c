// local/tests/api/serve.cc: the API server without a node: `muster_api_serve FOLDER [CRD.yaml...]` prints the
// kubeconfig's path and serves until its standard input ends.
#include <fstream>
#include <iostream>
#include <sstream>

#include "local/api/api_server.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: muster_api_serve FOLDER [CRD.yaml...]\n";
    return 2;
  }
  muster::local::ApiServer::Options options;
  options.folder = argv[1];
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i]);
    std::stringstream text;
    text << file.rdbuf();
    options.crds.push_back(text.str());
  }
  auto server = muster::local::ApiServer::start(std::move(options));
  if (!server) {
    std::cerr << server.error().message << "\n";
    return 1;
  }
  std::cout << (*server)->kubeconfig_path().string() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "compact") (*server)->store().compact();
  }
  (*server)->stop();
  return 0;
}

#pragma once

#include <string>
#include <vector>

namespace dockercoins {

/// What the servers say that every Dialer of this program reaches: one text per connection, its packets
/// separated by kCut. Further connections are refused. Each ends after what it says. Thread-safe.
void SetConnections(std::vector<std::string> connections);

}  // namespace dockercoins

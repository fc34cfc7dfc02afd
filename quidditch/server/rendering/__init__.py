"""Records of the engine as bodies of OpenSearch."""

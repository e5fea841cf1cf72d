"""An index whose vectors are in Milvus."""

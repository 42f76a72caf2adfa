agentmesh \d+\.\d+\.\d+.*

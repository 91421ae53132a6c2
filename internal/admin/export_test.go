package admin

// The closed sets.
var (
	AccountStates   = []AccountState{AccountHealthy, AccountRefreshing, AccountStarting, AccountRefreshFailing, AccountReloadFailing, AccountNoTokenOutage, AccountBadCredentials}
	BrokerStates    = []BrokerState{BrokerWorking, BrokerStarting, BrokerDegraded, BrokerDown, BrokerDraining}
	ComponentStates = []ComponentState{ComponentOK, ComponentWarning, ComponentFailing, ComponentUnknown}
	Causes          = []Cause{CauseNone, CauseCredentials, CauseLoginServer, CauseAPI, CauseConfiguration, CauseApp, CauseTokenStore}
)

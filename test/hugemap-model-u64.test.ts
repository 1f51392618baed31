import test from 'ava'
import { modelSuite } from './compliance/hugemap-model.js'

modelSuite(test, 'u64')
